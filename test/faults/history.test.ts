import { Client, Connection } from "@temporalio/client";
import { launchNumbered, openTestBaton, type TestBaton } from "./support/launch.ts";
import { endStack } from "./support/leftovers.ts";
import { openStack, type Stack } from "./support/stack.ts";

let stack: Stack;
let baton: TestBaton;
let connection: Connection;

beforeAll(async () => {
  stack = await openStack();
  await stack.startEngine();
  await stack.startHost();
  baton = await openTestBaton(stack);
  connection = await Connection.connect({ address: stack.env["TEMPORAL_ADDRESS"] ?? "" });
}, 120_000);
afterAll(async () => {
  await connection?.close();
  await endStack(baton, stack);
}, 90_000);

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
  const key = `${stack.env["BATON_INSTANCE"]}-history-${count}`;
  const session = await launchNumbered(baton, stack, { key, count, everyMs: 0 });
  await baton.turnsEnded(session, 1, 150_000);
  const first = await settled(key, { events: 0, bytes: 0 });
  await baton.sdk.sessions.input({ principal: "local" }, { sessionUlid: session, prompt: "again" });
  await baton.turnsEnded(session, 2, 150_000);
  const after = await settled(key, first);
  const [row] = await baton.query<{ n: string }>("select count(*) n from event where session_ulid = $1 and type = 'tool.completed'", [session]);
  await baton.closeSession(session);
  return { first, next: { events: after.events - first.events, bytes: after.bytes - first.bytes }, stored: Number(row?.n) };
}

/** The turn's result is in the history, and the workflow waits again: nothing has been added for a while. */
async function settled(workflowId: string, from: Size): Promise<Size> {
  let size = from;
  let quietSince = Date.now();
  await baton.eventually(
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
