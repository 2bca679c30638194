import { fingerprint as both } from "../../client/fingerprint.ts";
import { workflowIdFor } from "../../client/workflow-ids.ts";
import { generationId } from "../../contracts/generation-id.ts";

const fingerprint = (args: Record<string, unknown>): string => both(args).fingerprint;
const former = (args: Record<string, unknown>): string => both(args).former;

describe("fingerprint", () => {
  test("is the same whatever the order of keys, at every depth", () => {
    expect(fingerprint({ a: 1, b: { c: [1, 2], d: "x" } })).toBe(fingerprint({ b: { d: "x", c: [1, 2] }, a: 1 }));
  });
  test("leaves out the key, the wait, the size and what is absent", () => {
    expect(fingerprint({ a: 1, clientRequestId: "k", waitMs: 1, maxBytes: 9, b: undefined })).toBe(fingerprint({ a: 1, clientRequestId: "other" }));
  });
  test("differs with a value, a type, an array's order, a place", () => {
    const all = [{ a: 1 }, { a: 2 }, { a: "1" }, { a: [1, 2] }, { a: [2, 1] }, { b: { a: 1 } }, { a: { b: 1 } }, { a: "1,b:2" }].map(fingerprint);
    expect(new Set(all).size).toBe(all.length);
    expect(all[0]).toMatch(/^v2:[0-9a-f]{64}$/);
  });
  test("an @ before whom it names means nothing, at every depth; in what is only passed on it does", () => {
    const call = (at: string) => ({
      actor: `${at}me`,
      task: { reviewerHandles: [`${at}a`, "b"] },
      chain: { auditor: { agentHandle: `${at}c` } },
      dryRun: at === "",
    });
    expect(fingerprint(call("@"))).toBe(fingerprint(call("")));
    const passed = (actor: string) => ({ config: { scenario: { actor } }, prompt: actor });
    expect(fingerprint(passed("@me"))).not.toBe(fingerprint(passed("me")));
  });
  test("knows the one that the same call was recorded with before", () => {
    expect(former({ b: 1, a: "x", actor: "@me" })).toBe("v1:84bbbdda89f7008684a74e367a4aa874cfde6bcc5b7f29193114ebcc2d9fedcf");
  });
});

describe("workflow ids", () => {
  const id = (key: string | null, principal = "local") => workflowIdFor({ principal, key, sessionUlid: "ULID" });
  test("the key, readable where it can be", () => {
    expect(id("PROJ-42.run")).toBe("PROJ-42.run");
    expect(id(null)).toBe("ULID");
    expect(id("k", "agent 7")).toBe("agent%207:k");
  });
  test("no two requests share one", () => {
    const all = [id("a:k"), id("k", "a"), id("a/executor"), id("a"), id("a~2"), id("a%2Fexecutor"), generationId(id("a"), 2)];
    expect(new Set(all).size).toBe(all.length);
    expect(id("é".repeat(100)).length).toBeLessThanOrEqual(200);
    expect(id("é".repeat(100))).not.toBe(id("è".repeat(100)));
  });
  test("generations count from the first", () => {
    expect([generationId("a", 1), generationId("a", 2), generationId("a~2", 3)]).toEqual(["a", "a~2", "a~3"]);
  });
});
