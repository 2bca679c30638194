import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Json } from "../../providers/acp-tools.ts";
import { driven } from "./driven.ts";

const spent = (dollars: number): Json => ({ sessionUpdate: "usage_update", used: 1, size: 2, cost: { amount: dollars, currency: "USD" } });
const costing = (dollars: number): { says: Json[]; result: Json } => ({ says: [spent(dollars)], result: { stopReason: "end_turn" } });

test("a resumed agent that counts over its conversation costs what it spends from there on, one that counts from nothing as much as it says", async () => {
  const resumed = { resume: "S", costBefore: 1_000, reportCost: true } as const;
  for (const [dollars, costs] of [
    [
      [0.002, 0.0025],
      [1_000, 500],
    ],
    [
      [0.0004, 0.0025],
      [400, 2_100],
    ],
    [
      [0.001, 0.0015],
      [0, 500],
    ],
  ] as const) {
    const agent = await driven(dollars.map(costing), resumed);
    for (const [n, costMicros] of costs.entries()) expect((await agent.prompt(`T${n}`)).usage.costMicros).toBe(costMicros);
  }
  const anew = await driven([costing(0.002)], { costBefore: 1_000 });
  expect((await anew.prompt("T1")).usage.costMicros).toBe(2_000);
});

test("what Codex says of its thread tells a model's error from an answer", async () => {
  const recorded = readFileSync(join(import.meta.dirname, "../runner/samples/acp-codex-err400.jsonl"), "utf8")
    .trimEnd()
    .split("\n");
  const says = recorded.flatMap((line): Json[] => {
    const { update } = line.startsWith(">>> ") ? {} : ((JSON.parse(line) as { params?: { update?: Json } }).params ?? {});
    return update ? [update] : [];
  });
  const sentence = "exceeded retry limit, last status: 429 Too Many Requests";
  const instead = (one: Json): Json => (one["sessionUpdate"] === "agent_message_chunk" ? { ...one, content: { type: "text", text: sentence } } : one);
  const result = { stopReason: "end_turn", usage: { inputTokens: 5, outputTokens: 1 } };
  const idle = { sessionUpdate: "session_info_update", _meta: { codex: { threadStatus: { type: "idle" } } } };
  const agent = await driven([
    { says: says.map(instead), result },
    { says: [...says.map(instead), idle], result },
    { says: says.filter((one) => one["sessionUpdate"] !== "agent_message_chunk"), result },
    { says: [], result },
  ]);
  expect(await agent.prompt("T1")).toMatchObject({
    outcome: "failed",
    failure: { class: "rate_limit", message: sentence, retryable: true },
    usage: { inputTokens: 5 },
  });
  expect(await agent.prompt("T2")).toMatchObject({ outcome: "completed", finalMessage: sentence });
  expect(await agent.prompt("T3")).toMatchObject({ outcome: "failed", failure: { class: "unknown" } });
  expect(await agent.prompt("T4")).toMatchObject({ outcome: "completed" });
});

test("a permission that is open at its turn's end is cancelled, and the next turn's silence is a stall again", async () => {
  const options = [{ optionId: "yes", name: "Allow", kind: "allow_once" }];
  const ask = { method: "session/request_permission", params: { toolCall: { toolCallId: "a", title: "x", kind: "other" }, options }, unheard: true };
  const agent = await driven([{ says: [ask], result: { stopReason: "end_turn" } }, { says: [] }], { stallMs: 150 });
  expect(await agent.prompt("T1")).toMatchObject({ outcome: "completed" });
  const [asked] = agent.events("approval.requested");
  expect(agent.session.respond(asked?.approvalId ?? "", "allow")).toBe(false);
  expect(await agent.prompt("T2")).toMatchObject({ outcome: "failed", failure: { class: "stalled" } });
});
