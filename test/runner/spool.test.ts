import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import { readSpool } from "../../runner/spool-reader.ts";
import { openSpool } from "../../runner/spool-writer.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";

const dir = temporaryDirectory();
let files = 0;
const place = (): string => join(dir, `${++files}.ndjson`);
const delta = (text: string): SpoolRecord => ({ kind: "delta", turnId: "T", itemId: "i", stream: "message", text });
const line = (text: string): string => JSON.stringify(delta(text)) + "\n";
const texts = (read: Awaited<ReturnType<typeof readSpool>>): string[] =>
  read.records.map(({ record }) => (record.kind === "delta" ? record.text : record.kind === "unparsed" ? `!${record.reason}` : record.kind));
const filed = (text: string): string => {
  const path = place();
  writeFileSync(path, text);
  return path;
};

test("no file, an empty file and an offset at or behind the end read as nothing new", async () => {
  expect(await readSpool(place(), 0, 100)).toEqual({ records: [], end: 0 });
  expect(await readSpool(place(), 77, 100)).toEqual({ records: [], end: 77 });
  expect(await readSpool(filed(""), 0, 100)).toEqual({ records: [], end: 0 });
  const path = filed(line("a"));
  const { length } = line("a");
  expect(await readSpool(path, length, 100)).toEqual({ records: [], end: length });
  expect(await readSpool(path, length + 9, 100)).toEqual({ records: [], end: length + 9 });
});

test("half a record is left alone until its newline comes", async () => {
  const second = line("bé🙂");
  const path = filed(line("a") + second.slice(0, 20));
  const first = await readSpool(path, 0, 1_000);
  expect([texts(first), first.end]).toEqual([["a"], line("a").length]);
  expect(await readSpool(path, first.end, 1_000)).toEqual({ records: [], end: first.end });
  appendFileSync(path, second.slice(20, -1));
  expect((await readSpool(path, first.end, 1_000)).records).toEqual([]);
  appendFileSync(path, "\n");
  const rest = await readSpool(path, first.end, 1_000);
  expect([texts(rest), rest.end]).toEqual([["bé🙂"], Buffer.byteLength(line("a") + second)]);
});

test("a small window gives whole records only, and one larger than the window still comes", async () => {
  const all = ["a", "é".repeat(3_000), "🙂", "", "z"];
  const path = filed(all.map(line).join(""));
  for (const window of [0, 1, 7, 64, 100, 5_000, 1 << 20]) {
    const got: string[] = [];
    let offset = 0;
    for (let n = 0; n < 20; n++) {
      const read = await readSpool(path, offset, window);
      if (read.records.length === 0) break;
      expect(read.end).toBe(read.records.at(-1)?.end);
      got.push(...texts(read));
      offset = read.end;
    }
    expect(got).toEqual(all);
    expect(offset).toBe(Buffer.byteLength(all.map(line).join("")));
  }
});

test("a line that is no record is said to be none and hides nothing behind it", async () => {
  const path = filed(`${line("a")}\nnot json\n[1]\nnull\n{"kind":"other"}\n${"\0".repeat(5)}\n${line("b")}`);
  const read = await readSpool(path, 0, 1_000);
  expect(texts(read)).toEqual(["a", "!not JSON", "!not JSON", "!no record", "!no record", "!no record", "!not JSON", "b"]);
  expect((await readSpool(path, read.records[3]?.end ?? 0, 1_000)).records).toHaveLength(4);
});

test("what is written is read: cut to the limit, well-formed, with the offsets that the writer says", async () => {
  const path = place();
  const ends: number[] = [];
  const spool = openSpool({
    path,
    maxEventBytes: 2_000,
    mask: String,
    wrote: (end) => ends.push(end),
    blocked: (code) => {
      throw new Error(code);
    },
  });
  const at = new Date(0).toISOString();
  spool.append(delta("nul\0 half\ud800 é"));
  spool.append({ kind: "event", event: { type: "message.completed", data: { role: "agent", text: "ü".repeat(9_000) }, at, turnId: "T" } });
  spool.append({
    kind: "event",
    event: { type: "plan.updated", data: { entries: Array.from({ length: 500 }, () => ({ text: "p", status: "pending" })) }, at, turnId: "T" },
  });
  await spool.synced();
  const read = await readSpool(path, 0, 1 << 20);
  expect(read.records.map((one) => one.end)).toEqual(ends);
  expect(read.end).toBe(spool.end());
  expect(texts(read)[0]).toBe("nul\ufffd half\ufffd é");
  const [, message, plan] = read.records.map(({ record }) => (record.kind === "event" ? record.event : null));
  expect(message).toMatchObject({ type: "message.completed", turnId: "T", data: { text: expect.stringMatching(/^ü+… \[\d+ characters more\]$/) } });
  expect(plan).toMatchObject({ type: "line.unparsed", turnId: "T", data: { reason: "a plan.updated above 2000 bytes" } });
  for (const [n, end] of ends.entries()) if (n > 0) expect(end - (ends[n - 1] ?? 0)).toBeLessThanOrEqual(2_001);
  // A second writer of the same file would mix its records in.
  expect(() => openSpool({ path, maxEventBytes: 1, mask: String, wrote: () => undefined, blocked: () => undefined })).toThrow("EEXIST");
});
