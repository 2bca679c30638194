import { Client, Connection } from "@temporalio/client";
import { launchNumbered } from "./support/launch.ts";
import { onStack } from "./support/on-stack.ts";

const on = onStack({ start: ["engine", "host"] });
let connection: Connection;
beforeAll(async () => {
  connection = await Connection.connect({ address: on.stack.env["TEMPORAL_ADDRESS"] ?? "" });
});
afterAll(() => connection?.close());

interface Size {
  events: number;
  bytes: number;
}
/** The workflow's history as Temporal itself counts it. */
async function historySize(workflowId: string): Promise<Size> {
  const { workflowExecutionInfo: info } = await new Client({ connection }).workflowService.describeWorkflowExecution({
    namespace: "default",
    execution: { workflowId },
  });
  return { events: Number(info?.historyLength), bytes: Number(info?.historySizeBytes) };
}

/** History that one more turn adds, once the workspace and the rest of the beginning are there. */
async function turnOf(count: number): Promise<{ first: Size; next: Size; stored: number }> {
  const key = `${on.stack.env["BATON_INSTANCE"]}-history-${count}`;
  const session = await launchNumbered(on.baton, on.stack, { key, count, everyMs: 0 });
  await on.baton.turnsEnded(session, 1, 150_000);
  const first = await settled(key, { events: 0, bytes: 0 });
  await on.baton.sdk.sessions.input({ principal: "local" }, { sessionUlid: session, prompt: "again" });
  await on.baton.turnsEnded(session, 2, 150_000);
  const after = await settled(key, first);
  const [row] = await on.baton.query<{ n: string }>("select count(*) n from event where session_ulid = $1 and type = 'tool.completed'", [session]);
  await on.baton.closeSession(session);
  return { first, next: { events: after.events - first.events, bytes: after.bytes - first.bytes }, stored: Number(row?.n) };
}

/** The turn's result is in the history, and the workflow waits again: nothing has been added for a while. */
async function settled(workflowId: string, from: Size): Promise<Size> {
  let size = from;
  let quietSince = Date.now();
  await on.baton.eventually(
    "the history is quiet",
    async () => {
      const now = await historySize(workflowId);
      if (now.events !== size.events) quietSince = Date.now();
      size = now;
      return now.events > from.events && Date.now() - quietSince > 1_000;
    },
    20_000,
  );
  return size;
}

test("a turn costs Temporal the same whether the agent says 10 things or 10,000", async () => {
  const small = await turnOf(10);
  const large = await turnOf(10_000);
  console.log(`history: ${JSON.stringify({ small, large })}`);
  expect([small.stored, large.stored]).toEqual([20, 20_000]);
  for (const { first, next } of [small, large]) {
    expect(next.events).toBeLessThanOrEqual(15);
    expect(next.bytes).toBeLessThanOrEqual(12 * 1_024);
    expect(first.bytes).toBeLessThanOrEqual(2 * 12 * 1_024);
  }
  expect(large.first.events).toBe(small.first.events);
  expect(large.next.events).toBe(small.next.events);
  // A few bytes for longer numbers.
  expect(Math.abs(large.next.bytes - small.next.bytes)).toBeLessThanOrEqual(256);
}, 420_000);
