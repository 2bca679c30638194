import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { openTestBaton } from "./support/launch.ts";
import { kill, onStack } from "./support/on-stack.ts";
import { openProxy } from "./support/tcp-proxy.ts";
import { temporalCli } from "./support/temporal-cli.ts";

type Answer = { ok: boolean; data?: Record<string, unknown>; error?: { code: string } };
const on = onStack({ start: [] });
let processes: ChildProcess[] = [];
let clients: Client[] = [];
afterAll(async () => {
  for (const client of clients) await client.close();
});

/** Two gateways, an engine and a host. */
async function startAll(): Promise<void> {
  const [engine, host, ...gateways] = await Promise.all([on.stack.startEngine(), on.stack.startHost(), on.stack.startGateway(), on.stack.startGateway()]);
  processes = [engine, host, ...gateways.map((gateway) => gateway.process)];
  const authorization = `Bearer ${readFileSync(join(on.stack.home, "token"), "utf8").trim()}`;
  clients = await Promise.all(
    gateways.map(async ({ url }) => {
      const client = new Client({ name: "test", version: "1" });
      await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { authorization } } }));
      return client;
    }),
  );
}
async function killAll(): Promise<void> {
  for (const client of clients) await client.close();
  clients = [];
  await Promise.all(processes.map((one) => kill(one)));
}

const call = async (at: number, args: Record<string, unknown>): Promise<Answer> =>
  (await clients[at % clients.length]!.callTool({ name: "pm_session", arguments: args })).structuredContent as unknown as Answer;
/** Same key, same body: the one launch that everybody asks for. */
const body = (name: string) => ({
  clientRequestId: `${on.stack.env["BATON_INSTANCE"]}-${name}`,
  actor: "@test",
  taskKey: `KEY-${name}`,
  launcherConfigKey: "demo-executor",
  agentHandle: "executor",
  prompt: "go",
  config: { scenario: { turns: [[{ say: "done" }]] } },
  task: { title: name, repositoryPath: on.stack.repository, projectKey: "KEY" },
});
const rows = (name: string) =>
  on.baton.query<{ session_ulid: string; started: boolean }>("select session_ulid, started_at is not null started from session where client_request_id = $1", [
    body(name).clientRequestId,
  ]);
const workflows = async (name: string): Promise<number> =>
  (JSON.parse(await temporalCli("workflow", "list", "--query", `WorkflowId = "${body(name).clientRequestId}"`, "--output", "json")) as unknown[]).length;

test("a launch whose workflow could not be started heals by the same call: one session, one turn", async () => {
  // Nothing else runs yet: neither an engine's sweeper nor another door can be the one that heals.
  const cut = await openTestBaton({ ...on.stack, env: { ...on.stack.env, TEMPORAL_ADDRESS: "127.0.0.1:1" } });
  const caller = { principal: "local", actor: "@test" };
  await expect(cut.sdk.sessions.launch(caller, body("heal"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await cut.close();
  const recorded = await rows("heal");
  expect(recorded).toEqual([{ session_ulid: expect.any(String), started: false }]);
  const { data, replayed } = await on.baton.sdk.sessions.launch(caller, body("heal"));
  expect([data["sessionUlid"], replayed]).toEqual([recorded[0]?.session_ulid, true]);
  expect(await rows("heal")).toEqual([{ session_ulid: recorded[0]?.session_ulid, started: true }]);
  await startAll();
  await on.baton.turnsEnded(String(data["sessionUlid"]), 1, 30_000);
  expect(await on.baton.outcomes(String(data["sessionUlid"]))).toEqual(["completed"]);
  await on.baton.eventually("one workflow", async () => (await workflows("heal")) === 1, 10_000);
}, 120_000);

test("a session that is closed while its workflow is being started leaves no workflow behind", async () => {
  const caller = { principal: "local", actor: "@test" };
  const slow = await openProxy(Number(on.stack.env["TEMPORAL_ADDRESS"]?.split(":").at(-1)));
  const far = await openTestBaton({ ...on.stack, env: { ...on.stack.env, TEMPORAL_ADDRESS: `127.0.0.1:${slow.port}` } });
  try {
    // Connected first: a proxy this slow would keep it from that.
    await far.sdk.sessions.launch(caller, { ...body("warm"), run: false });
    slow.latencyMs = 1_500;
    const launched = far.sdk.sessions.launch(caller, { ...body("overtaken"), run: false });
    await on.baton.eventually("its rows are there", async () => (await rows("overtaken")).length === 1, 10_000);
    const sessionUlid = (await rows("overtaken"))[0]!.session_ulid;
    expect(await on.baton.sdk.sessions.close(caller, { sessionUlid })).toMatchObject({ closing: false, status: "CLOSED" });
    await launched;
    await on.baton.eventually(
      "its workflow is over",
      async () =>
        (await temporalCli("workflow", "describe", "--workflow-id", body("overtaken").clientRequestId, "--output", "json")).includes(
          "WORKFLOW_EXECUTION_STATUS_COMPLETED",
        ),
      20_000,
    );
    expect(await on.baton.sdk.sessions.get({ sessionUlid })).toMatchObject({ status: "CLOSED" });
  } finally {
    await far.close();
    await slow.close();
  }
}, 60_000);

test("50 calls at once through two gateways are one session (row 17)", async () => {
  const answers = await Promise.all(Array.from({ length: 50 }, (_, at) => call(at, { action: "launch_task", ...body("burst") })));
  const first = answers[0]?.data?.["sessionUlid"];
  expect(answers.map((answer) => [answer.error?.code, answer.data?.["sessionUlid"]])).toEqual(Array.from({ length: 50 }, () => [undefined, first]));
  expect(answers.filter((answer) => answer.data?.["replayed"] !== true)).toHaveLength(1);
  expect(await rows("burst")).toEqual([{ session_ulid: first, started: true }]);
  await on.baton.turnsEnded(String(first), 1, 30_000);
  expect(await on.baton.query("select 1 from turn where session_ulid = $1", [first])).toHaveLength(1);
  await on.baton.eventually("one workflow", async () => (await workflows("burst")) === 1, 10_000);
}, 90_000);

test("the key with another body is refused", async () => {
  for (const at of [0, 1])
    expect(await call(at, { action: "launch_task", ...body("burst"), prompt: "something else" })).toMatchObject({
      ok: false,
      error: { code: "IDEMPOTENCY_MISMATCH" },
    });
  expect(await rows("burst")).toHaveLength(1);
}, 30_000);

test("after everything was killed and started again the key gives the same ids", async () => {
  const ids = ({ data }: Answer) => ({
    sessionUlid: data?.["sessionUlid"],
    workflowId: data?.["workflowId"],
    worktreePath: data?.["worktreePath"],
    branchName: data?.["branchName"],
  });
  const before = await call(0, { action: "launch_task", ...body("burst") });
  await killAll();
  await startAll();
  for (const at of [0, 1]) {
    const after = await call(at, { action: "launch_task", ...body("burst") });
    expect(ids(after)).toEqual(ids(before));
    expect(after.data?.["replayed"]).toBe(true);
  }
  expect(await rows("burst")).toHaveLength(1);
  expect(await on.baton.query("select 1 from turn where session_ulid = $1", [before.data?.["sessionUlid"]])).toHaveLength(1);
}, 120_000);
