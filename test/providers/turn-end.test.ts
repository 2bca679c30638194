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
