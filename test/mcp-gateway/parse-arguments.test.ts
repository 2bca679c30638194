import type { Baton } from "../../client/open-baton.ts";
import { BatonError } from "../../contracts/failures.ts";
import { parseArguments } from "../../mcp-gateway/parse-arguments.ts";
import { failure, success } from "../../mcp-gateway/envelope.ts";
import { publishedDescription, publishedSchema } from "../../mcp-gateway/published-schema.ts";
import { type Tool, tools } from "../../mcp-gateway/registry/index.ts";

const tool = (name: string) => tools.find((t) => t.name === name) as Tool;
const parse = (raw: unknown, name = "pm_session") => parseArguments(tool(name), raw);
function refusal(raw: unknown, name?: string): BatonError {
  try {
    parse(raw, name);
  } catch (error) {
    if (error instanceof BatonError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

describe("arguments", () => {
  test("case and spaces of an action are forgiven", () => {
    expect(parse({ action: " Live Deltas ", sessionUlid: "S" }).action.action).toBe("live_deltas");
  });
  test("null is absent, JSON text is parsed where text is not meant", () => {
    expect(parse({ action: "list", limit: "5", attention: "true", role: null }).args).toEqual({ limit: 5, attention: true });
    const chain = { auditor: { launcherConfigKey: "a" }, gates: { audit: null, reviews: null }, maxRounds: null };
    const launch = { action: "launch_task", clientRequestId: "k", actor: "@a", taskKey: "P-1", launcherConfigKey: "c", chain };
    // Where null has a meaning of its own it stays.
    expect(parse(launch).args["chain"]).toEqual({ auditor: { launcherConfigKey: "a" }, gates: { audit: null } });
    expect(parse({ action: "wait", sessionUlids: '["A"]', cursors: '{"A":3}' }).args).toEqual({ sessionUlids: ["A"], cursors: { A: 3 } });
    expect(parse({ action: "input", sessionUlid: "S", prompt: '{"a":1}' }).args["prompt"]).toBe('{"a":1}');
  });
  test("values of a record are read as forgivingly: numbers and text for each other, null, and cursors as answers have them", () => {
    const cursors = { A: "3", B: { events: 4, deltas: 0 }, C: '{"events":5}', D: null, E: { events: "6", deltas: null } };
    expect(parse({ action: "wait", sessionUlids: ["A"], cursors }).args["cursors"]).toEqual({
      A: 3,
      B: { events: 4, deltas: 0 },
      C: { events: 5 },
      E: { events: 6 },
    });
    expect(parse({ action: "wait", sessionUlids: ["A"], cursors: JSON.stringify(cursors) }).args["cursors"]).toMatchObject({ A: 3, E: { events: 6 } });
    expect(refusal({ action: "wait", sessionUlids: ["A"], cursors: { A: "three" } })).toMatchObject({
      code: "INVALID_ARGUMENT",
      detail: { field: "cursors.A" },
    });
    expect(refusal({ action: "wait", sessionUlids: ["A"], cursors: { A: { seq: 3 } } }).detail.field).toMatch(/^cursors\.A/);
    const launch = { action: "launch_task", clientRequestId: "k", actor: "@a", taskKey: "P-1", launcherConfigKey: "c" };
    const labels = JSON.parse('{"pr": 12, "text": "12", "urgent": true, "none": null, "__proto__": 1}') as object;
    const parsed = parse({ ...launch, labels }).args["labels"] as object;
    expect(Object.entries(parsed)).toEqual([
      ["pr", "12"],
      ["text", "12"],
      ["urgent", "true"],
    ]);
    expect(refusal({ ...launch, labels: { deep: { a: 1 } } }).detail.field).toBe("labels.deep");
  });
  test("an unknown key is refused with what was meant", () => {
    expect(refusal({ action: "get", sesionUlid: "S" })).toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining('"sessionUlid"'),
      detail: { field: "sesionUlid" },
    });
    expect(refusal({ action: "launch_task", clientRequestId: "k", actor: "a", taskKey: "T-1", launcherConfigKey: "p", task: { titel: "x" } })).toMatchObject({
      detail: { field: "task.titel" },
    });
    expect(refusal({ action: "run", sessionUlid: "S", dbPath: "/x" }).message).toContain("never chooses");
  });
  test("what is nested is read as forgivingly: JSON text, null, keys without a meaning, a key that was meant otherwise", () => {
    const launch = { action: "launch_task", clientRequestId: "k", actor: "@a", taskKey: "P-1", launcherConfigKey: "c" };
    const { args, warnings } = parse({
      ...launch,
      worktree: '{"baseRef":"main","requireLinked":true,"branchPrefix":null}',
      config: { model: "m", temperature: 1 },
      limits: { turns: "3", wallSeconds: null },
      chain: { reviewers: '[{"launcherConfigKey":"r","agentHandle":null}]', maxRounds: "2", gates: { reviews: '{"minScore":"80"}' } },
      task: { title: "7", acceptanceCriteria: '["a"]' },
    });
    expect(args).toMatchObject({
      worktree: { baseRef: "main" },
      config: { model: "m" },
      limits: { turns: 3 },
      chain: { reviewers: [{ launcherConfigKey: "r" }], maxRounds: 2, gates: { reviews: { minScore: 80 } } },
      task: { title: "7", acceptanceCriteria: ["a"] },
    });
    expect(warnings).toEqual([expect.stringContaining('"worktree.requireLinked"'), expect.stringContaining('"config.temperature"')]);
    for (const [more, field, meant] of [
      [{ worktree: { baseref: "x" } }, "worktree.baseref", "baseRef"],
      [{ chain: { reviewers: [{ launcherConfigkey: "r" }] } }, "chain.reviewers.0.launcherConfigkey", "launcherConfigKey"],
      [{ chain: { gates: { review: {} } } }, "chain.gates.review", "reviews"],
      // What narrows an agent is never ignored.
      [{ config: { allowedTools: [] } }, "config.allowedTools", ""],
      [JSON.parse('{"worktree": {"__proto__": {"disabled": true}}}') as object, "worktree.__proto__", ""],
      [{ limits: { constructor: 1 } }, "limits.constructor", ""],
    ] as const) {
      const refused = refusal({ ...launch, ...more });
      expect(refused).toMatchObject({ code: "INVALID_ARGUMENT", detail: { field } });
      expect(refused.message).toContain(meant === "" ? "is not accepted" : `did you mean "${meant}"?`);
    }
  });
  test("a chain may say what is so anyway; what is not there yet is refused with what is", () => {
    const launch = { action: "launch_task", clientRequestId: "k", actor: "@a", taskKey: "P-1", launcherConfigKey: "c" };
    const chain = { merge: "none", cleanup: "keep", gates: { checklist: true, checks: [], human: null } };
    expect(parse({ ...launch, chain }).args["chain"]).toEqual(chain);
    for (const [more, field] of [
      [{ merge: "ff" }, "chain.merge"],
      [{ cleanup: "purge_merged" }, "chain.cleanup"],
      [{ gates: { checks: [{ name: "x" }] } }, "chain.gates.checks"],
      [{ gates: { human: { handles: [] } } }, "chain.gates.human"],
    ] as const)
      expect(refusal({ ...launch, chain: more })).toMatchObject({ detail: { field: expect.stringContaining(field) } });
  });
  test("a part of a preset that means nothing here is named in the answer", async () => {
    const presets = { create: () => Promise.resolve({}), update: () => Promise.resolve({}) };
    for (const action of ["create_preset", "update_preset"]) {
      const warned = async (worktree: object) => {
        const parsed = parse({ action, key: "k", providerType: "scripted", worktree }, "pm_provider");
        return (await parsed.action.handle({ presets } as unknown as Baton, { principal: "local" }, parsed.args)).warnings;
      };
      expect(await warned({ shouldCreateWorktree: true })).toBeUndefined();
      expect(await warned({ allowReuseExistingWorktree: true })).toEqual([expect.stringContaining("allowReuseExistingWorktree")]);
    }
  });
  test("a model is no agent, and the answer says which there are", () => {
    for (const provider of ["openai", "anthropic", "ollama"])
      expect(refusal({ action: "start", clientRequestId: "k", actor: "@a", contextRef: "c", role: "executor", provider, systemPrompt: "s" })).toMatchObject({
        code: "PROVIDER_UNAVAILABLE",
        message: expect.stringContaining(provider),
        detail: { field: "provider" },
      });
    expect(refusal({ action: "create_preset", key: "k", providerType: "ollama" }, "pm_provider").code).toBe("PROVIDER_UNAVAILABLE");
    expect(refusal({ action: "create_preset", key: "k", providerType: "emacs" }, "pm_provider").code).toBe("INVALID_ARGUMENT");
  });
  test("an unknown action names the near one and all there are", () => {
    expect(refusal({ action: "lunch_task" })).toMatchObject({
      code: "UNKNOWN_ACTION",
      message: expect.stringContaining("launch_task"),
      detail: { allowed: expect.arrayContaining(["launch_task"]) },
    });
    expect(refusal({})).toMatchObject({ code: "UNKNOWN_ACTION" });
    expect(refusal({ action: "launch_task" }, "pm_session_read").code).toBe("UNKNOWN_ACTION");
  });
  test("a missing key comes with a fresh one", () => {
    const { detail } = refusal({ action: "launch_task", actor: "@me", taskKey: "T-1", launcherConfigKey: "p" });
    expect(detail).toMatchObject({
      field: "clientRequestId",
      example: { action: "launch_task", taskKey: "T-1", clientRequestId: expect.stringMatching(/^[0-9A-Z]{26}$/) },
    });
  });
  test("a tool without actions ignores one", () => {
    expect(parse({ action: "x", count: 2 }, "pm_generate_ulid").args).toEqual({ count: 2 });
  });
});

describe("published schemas", () => {
  test.each(tools.map((t) => [t.name, t] as const))("%s is flat", (_, published) => {
    const schema = publishedSchema(published);
    expect(schema).toMatchObject({ type: "object", additionalProperties: false });
    expect(JSON.stringify(schema)).not.toMatch(/"(oneOf|anyOf|allOf|not|\$ref|const|if)":/);
    for (const property of Object.values(schema["properties"] as Record<string, { type: unknown; description: unknown }>))
      expect([typeof property.type, typeof property.description]).toEqual(["string", "string"]);
    expect(publishedDescription(published).length).toBeLessThan(2_000);
  });
  test("every example is accepted by its own action", () => {
    for (const t of tools) for (const a of t.actions) expect(() => parseArguments(t, a.example)).not.toThrow();
  });
});

describe("envelope", () => {
  test("success: text and structure are the same", () => {
    const result = success("get", { data: { a: 1 }, warnings: [], next: [] });
    expect(result.structuredContent).toEqual({ ok: true, action: "get", data: { a: 1 } });
    expect(JSON.parse(result.content[0]?.text ?? "")).toEqual(result.structuredContent);
    expect(result.isError).toBeUndefined();
  });
  test("a refusal says its code; anything else is told to the log alone", () => {
    const told: unknown[] = [];
    const refused = failure("get", new BatonError("NOT_FOUND", "no", { field: "sessionUlid" }), (fields) => told.push(fields));
    expect(refused).toMatchObject({
      isError: true,
      structuredContent: { ok: false, action: "get", error: { code: "NOT_FOUND", message: "no", field: "sessionUlid", applied: "no", retryable: false } },
    });
    expect(told).toEqual([]);
    const broken = failure("get", new Error("password=hunter2"), (fields) => told.push(fields));
    expect(broken).toMatchObject({ structuredContent: { error: { code: "INTERNAL", applied: "unknown" } } });
    expect(JSON.stringify(broken)).not.toContain("hunter2");
    expect(told).toHaveLength(1);
  });
});
