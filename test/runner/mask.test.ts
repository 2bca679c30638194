import { noUsage } from "../../contracts/event.ts";
import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import { maskOf } from "../../runner/mask.ts";

const delta = (text: string, itemId = "i"): SpoolRecord => ({ kind: "delta", turnId: "t", itemId, stream: "message", text });
const notice: SpoolRecord = { kind: "event", event: { type: "notice.raised", data: { message: "m" }, at: "" } };
const ended = (itemId: string): SpoolRecord => ({ kind: "event", event: { type: "message.completed", itemId, data: { role: "agent", text: "" } } });
const turnEnded: SpoolRecord = {
  kind: "mark",
  mark: "turn.ended",
  turnId: "t",
  end: { outcome: "completed", usage: noUsage, finalMessage: "" },
  providerSessionId: null,
};
const texts = (records: SpoolRecord[]): string =>
  records.map((one) => (one.kind === "delta" ? `${one.itemId}:${one.text}` : one.kind === "event" ? one.event.type : one.mark)).join("|");

test("a secret goes out of texts and of JSON, whatever is in it; what is short is none", () => {
  const mask = maskOf(["s3cr(e)t+1", 'quo"te\\back', "abc", "first line of a key\nsecond line of a key"]);
  expect(mask.text("a s3cr(e)t+1 b abc")).toBe("a [secret] b abc");
  expect(mask.text(JSON.stringify({ x: 'quo"te\\back', y: "first line of a key\nsecond line of a key" }))).toBe('{"x":"[secret]","y":"[secret]"}');
  expect(mask.text("only the second line of a key")).toBe("only the [secret]");
});

test("a secret that is streamed in pieces goes out too, also between those of others, and no text is lost or reordered", () => {
  const mask = maskOf(["canary-secret"]);
  const said = [
    delta("x can"),
    delta("ary-se"),
    delta("other", "j"),
    notice,
    delta("cret y can"),
    delta("e canary-"),
    ended("i"),
    delta("can", "j"),
    ended("k"),
  ];
  expect(texts(said.flatMap(mask.records))).toBe("i:x |j:other|notice.raised|i:[secret] y |i:cane |i:canary-|message.completed|message.completed");
  expect(texts(mask.records(turnEnded))).toBe("j:can|turn.ended");
  expect(maskOf([]).records(notice)).toEqual([notice]);
});

test("what is held back of many items is bounded, and is put out with the process's end", () => {
  const mask = maskOf(["canary-secret"]);
  const written = Array.from({ length: 1_000 }, (_, n) => mask.records(delta("canary", `${n}`)));
  expect(written.flat().length).toBeGreaterThan(900);
  const exited: SpoolRecord = { kind: "event", event: { type: "process.exited", data: { pid: 1, code: 0, signal: null, stderrTail: "", expected: true } } };
  expect([...written.flat(), ...mask.records(exited)]).toEqual([...Array.from({ length: 1_000 }, (_, n) => delta("canary", `${n}`)), exited]);
});
