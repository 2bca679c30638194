import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import { maskOf } from "../../runner/mask.ts";

const delta = (text: string, itemId = "i"): SpoolRecord => ({ kind: "delta", turnId: "t", itemId, stream: "message", text });
const mark: SpoolRecord = { kind: "event", event: { type: "notice.raised", data: { message: "m" }, at: "" } };

test("a secret goes out of texts and of JSON, whatever is in it; what is short is none", () => {
  const mask = maskOf(["s3cr(e)t+1", 'quo"te\\back', "abc", "first line of a key\nsecond line of a key"]);
  expect(mask.text("a s3cr(e)t+1 b abc")).toBe("a [secret] b abc");
  expect(mask.text(JSON.stringify({ x: 'quo"te\\back', y: "first line of a key\nsecond line of a key" }))).toBe('{"x":"[secret]","y":"[secret]"}');
  expect(mask.text("only the second line of a key")).toBe("only the [secret]");
});

test("a secret that is streamed in pieces goes out too, and no text is lost or reordered", () => {
  const mask = maskOf(["canary-secret"]);
  const written = [delta("x can"), delta("ary-se"), delta("cret y can"), delta("other", "j"), delta("e canary-"), mark].flatMap(mask.records);
  const texts = written.map((one) => (one.kind === "delta" ? `${one.itemId}:${one.text}` : "mark"));
  expect(texts.join("|")).toBe("i:x |i:[secret] y |i:can|j:other|i:e |i:canary-|mark");
  expect(maskOf([]).records(mark)).toEqual([mark]);
});
