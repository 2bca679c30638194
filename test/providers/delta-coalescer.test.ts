import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import { deltaCoalescer } from "../../providers/delta-coalescer.ts";

const delta = (text: string, itemId = "i1"): SpoolRecord => ({ kind: "delta", turnId: "T", itemId, stream: "message", text });
const texts = (records: SpoolRecord[]): string[] => records.map((record) => (record.kind === "delta" ? record.text : record.kind));
const nextTurnOfTheLoop = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));

test("what came in with one read is one piece, and it does not wait for more", async () => {
  const out: SpoolRecord[] = [];
  const lane = deltaCoalescer((record) => out.push(record));
  for (const piece of ["a", "b", "c"]) lane.write(delta(piece));
  expect(out).toEqual([]);
  await nextTurnOfTheLoop();
  expect(texts(out)).toEqual(["abc"]);
  lane.write(delta("d"));
  await nextTurnOfTheLoop();
  expect(texts(out)).toEqual(["abc", "d"]);
});

test("another item, another record, 8 K characters: the order stays, nothing is lost", () => {
  const out: SpoolRecord[] = [];
  const lane = deltaCoalescer((record) => out.push(record));
  lane.write(delta("a"));
  lane.write(delta("b", "i2"));
  lane.write({ kind: "event", event: { type: "notice.raised", data: { message: "m" }, at: new Date().toISOString() } });
  lane.write(delta("x".repeat(8_000)));
  lane.write(delta("y".repeat(193)));
  lane.write(delta("z"));
  lane.flush();
  expect(texts(out)).toEqual(["a", "b", "event", "x".repeat(8_000) + "y".repeat(193), "z"]);
});
