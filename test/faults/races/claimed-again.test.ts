import { setTimeout as sleep } from "node:timers/promises";
import { launchScripted } from "../support/launch.ts";
import { type McpDoor, openMcpDoor } from "../support/mcp-door.ts";
import { onStack } from "../support/on-stack.ts";

let door: McpDoor;
const on = onStack({
  start: ["engine", "host"],
  // Frozen for longer than its beats may be late, not for longer than its lease: its attempts are lost, and it gets the next ones itself.
  numbers: { BATON_TURN_SLOTS: "2", BATON_HOST_BEAT_TIMEOUT_MS: "2000", BATON_HOST_LEASE_MS: "15000" },
  before: async (stack) => {
    door = await openMcpDoor(stack);
    stack.env["BATON_GATEWAY_URL"] = door.url;
  },
});
afterAll(() => door?.close());

const call = (args: Record<string, unknown>) => ({ call: { tool: "pm_session", args } });
const attempts = async (): Promise<number[]> =>
  (await on.baton.query<{ attempt: number }>("select attempt from turn where state = 'running' order by turn_id")).map((row) => row.attempt);

test("an agent that waits for its own session needs no slot either when the same worker claims its turn again (row 1)", async () => {
  const launched = {
    action: "launch_task",
    clientRequestId: "k-AGAIN-2",
    actor: "@executor",
    agentHandle: "executor",
    taskKey: "AGAIN-2",
    launcherConfigKey: "demo-executor",
    prompt: "go",
    task: { title: "AGAIN-2" },
    config: { scenario: { turns: [[{ wait: 20_000 }, { say: "child done" }]] } },
  };
  const waits = call({ action: "wait", sessionUlids: ["{{sessionUlid}}"], until: "idle", waitMs: 600_000 });
  const agent = await launchScripted(on.baton, on.stack, { key: "AGAIN-1", turns: [[call(launched), waits, { say: "done" }]] });
  await on.baton.eventually("it waits", async () => (await on.baton.query("select 1 from turn_wait")).length === 1, 30_000);
  await on.baton.eventually("both run", async () => (await attempts()).length === 2, 30_000);
  // The worker has seen the wait.
  await sleep(1_500);
  on.host.kill("SIGSTOP");
  await sleep(3_000);
  on.host.kill("SIGCONT");
  await on.baton.eventually("both are claimed again", async () => (await attempts()).filter((attempt) => attempt > 1).length === 2, 20_000);
  // The child has one slot. The agent's is free for somebody else, as before.
  const other = await launchScripted(on.baton, on.stack, { key: "AGAIN-3", turns: [[{ say: "done" }]] });
  await on.baton.turnsEnded(other, 1, 30_000);
  expect(await on.baton.query("select 1 from turn_wait")).toHaveLength(1);
  await on.baton.turnsEnded(agent, 1, 60_000);
  expect(await on.baton.outcomes(agent)).toEqual(["completed"]);
}, 150_000);
