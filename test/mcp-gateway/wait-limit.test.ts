import { waitLimit } from "../../mcp-gateway/long-polls.ts";

const agent = (n: number) => ({ principal: `session:${n}`, session: `${n}` });

test("one agent has few places, and all of them together leave half to others", () => {
  const limit = waitLimit(64, 128);
  const leave = Array.from({ length: 8 }, (_, n) => Array.from({ length: 8 }, () => limit.enter(agent(n)))).flat();
  expect(() => limit.enter(agent(0))).toThrow("8 calls of yours wait");
  expect(() => limit.enter(agent(8))).toThrow("64 calls of agents wait");
  for (let n = 0; n < 64; n += 1) limit.enter({ principal: "local" });
  expect(() => limit.enter({ principal: "local" })).toThrow("64 calls of yours wait");
  // A place that was given back is free again.
  leave[0]?.();
  expect(() => limit.enter(agent(8))).not.toThrow();
});
