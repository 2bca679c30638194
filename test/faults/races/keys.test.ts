import { kill, onStack } from "../support/on-stack.ts";
import { type DoorAnswer, type McpDoor, openMcpDoor } from "../support/mcp-door.ts";

const full = process.env["BATON_TEST_FULL"] === "1";
const keys = full ? 100 : 10;
const racers = full ? 50 : 20;
const on = onStack({ start: ["engine"] });
let doors: McpDoor[] = [];
afterAll(() => closeDoors());

const openDoors = async (): Promise<void> => {
  doors = await Promise.all([openMcpDoor(on.stack), openMcpDoor(on.stack)]);
};
async function closeDoors(): Promise<void> {
  for (const door of doors) await door.close().catch(() => undefined);
  await Promise.all(doors.map((door) => kill(door.process)));
  doors = [];
}
/** No turn: nothing but the request, the row and the workflow. `variant`: another body under the same key. */
const launch = (n: number, variant: number) => ({
  action: "launch_task",
  clientRequestId: `${on.stack.env["BATON_INSTANCE"]}-key-${n}`,
  actor: "@test",
  taskKey: `KEYS-${n}`,
  launcherConfigKey: "demo-executor",
  agentHandle: "executor",
  run: false,
  prompt: `body ${variant}`,
  task: { title: `key ${n}`, repositoryPath: on.stack.repository, projectKey: "KEYS" },
});

interface Race {
  n: number;
  bodies: number[];
  answers: DoorAnswer[];
}
/** All racers of a key call at once, in turns through either gateway; with an odd key every third has another body. */
async function race(n: number): Promise<Race> {
  const bodies = Array.from({ length: racers }, (_, at) => (n % 2 === 1 && at % 3 === 2 ? 1 : 0));
  return { n, bodies, answers: await Promise.all(bodies.map((body, at) => patiently(() => doors[at % 2]!.call(launch(n, body))))) };
}
/** As the answer says: UNAVAILABLE (a Temporal that takes longer than 5 s) is repeated with the same key. */
async function patiently(call: () => Promise<DoorAnswer>): Promise<DoorAnswer> {
  for (let tries = 1; ; tries++) {
    const answer = await call();
    if (answer.error?.code !== "UNAVAILABLE" || tries === 10) return answer;
  }
}
/** The body that took the key; everybody with it has one answer, everybody else a refusal. */
function winner({ bodies, answers }: Race): { body: number; sessionUlid: string } {
  const won = new Set(bodies.filter((_, at) => answers[at]!.ok));
  expect(won.size).toBe(1);
  const [body = 0] = won;
  const ids = new Set(answers.flatMap((answer) => (answer.ok ? [String(answer.data?.["sessionUlid"])] : [])));
  expect(ids.size).toBe(1);
  bodies.forEach((one, at) => expect(answers[at]?.error?.code).toBe(one === body ? undefined : "IDEMPOTENCY_MISMATCH"));
  // The one that made it may have had to ask again, and is a repeat then: never two.
  expect(answers.filter((answer) => answer.ok && answer.data?.["replayed"] !== true).length).toBeLessThanOrEqual(1);
  return { body, sessionUlid: [...ids][0] ?? "" };
}

test(`${keys} keys, each raced by ${racers} callers through two gateways, some with another body: one session per key, the other body refused, also after kill -9 of both gateways (row 17)`, async () => {
  await openDoors();
  const won: { n: number; body: number; sessionUlid: string }[] = [];
  // Ten keys at once: every key has rivals of its own and strangers beside it.
  for (let from = 0; from < keys; from += 10) {
    const races = await Promise.all(Array.from({ length: Math.min(10, keys - from) }, (_, at) => race(from + at)));
    for (const one of races) won.push({ n: one.n, ...winner(one) });
  }
  const rows = await on.baton.query<{ session_ulid: string; client_request_id: string; started: boolean }>(
    "select session_ulid, client_request_id, started_at is not null started from session order by client_request_id",
  );
  expect(rows).toHaveLength(keys);
  expect(rows.every((row) => row.started)).toBe(true);
  expect(new Set(rows.map((row) => row.session_ulid))).toEqual(new Set(won.map((one) => one.sessionUlid)));
  const audits = await on.baton.query<{ n: string }>("select count(*) n from audit where action = 'launch_task' and outcome = 'done'");
  expect(Number(audits[0]?.n)).toBe(keys);

  await closeDoors();
  await openDoors();
  for (const { n, body, sessionUlid } of won) {
    expect(await doors[n % 2]!.call(launch(n, body))).toMatchObject({ ok: true, data: { sessionUlid, replayed: true } });
    expect(await doors[(n + 1) % 2]!.call(launch(n, 1 - body))).toMatchObject({ ok: false, error: { code: "IDEMPOTENCY_MISMATCH" } });
  }
  expect(await on.baton.query("select 1 from session")).toHaveLength(keys);
}, 600_000);
