import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { agentStarts, emitted, stored } from "../support/agent-words.ts";
import { audit } from "../support/auditor.ts";
import { launchNumbered, launchScripted, openTestBaton, type TestBaton } from "../support/launch.ts";
import { onStack } from "../support/on-stack.ts";
import { openProxy, type TcpProxy, through } from "../support/tcp-proxy.ts";

/** The host worker reaches Postgres through one proxy, a door (the SDK) through another; the engine directly. */
const on = onStack({ start: ["engine"] });
const caller = { principal: "local", actor: "@test" };
let hosts: TcpProxy;
let doors: TcpProxy;
let door: TestBaton;
beforeAll(async () => {
  const port = Number(new URL(on.stack.databaseUrl).port);
  [hosts, doors] = await Promise.all([openProxy(port), openProxy(port)]);
  on.stack.env["DATABASE_URL"] = through(hosts, on.stack.databaseUrl);
  on.host = await on.stack.startHost();
  door = await openTestBaton({ ...on.stack, databaseUrl: through(doors, on.stack.databaseUrl) });
}, 60_000);
afterEach(() => {
  hosts.latencyMs = 0;
});
// Runs after the stack's own end, which still needs them.
afterAll(async () => {
  await door?.close();
  await Promise.all([hosts?.close(), doors?.close()]);
}, 30_000);

const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
const rightly = async (session: string): Promise<void> => {
  expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions: [session], turnsPerSession: 1 })).toEqual([]);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
  expect(agentStarts(on.stack, session)).toEqual({ starts: 1, prompts: 1 });
};

test("a reader whose LISTEN connection is cut in silence is late by the poll of a second and never stalls (row 5)", async () => {
  const count = 6;
  const session = await launchNumbered(on.baton, on.stack, { key: key("listen"), count, everyMs: 1_200 });
  const isFeed = (link: { startup: string }): boolean => link.startup.includes("baton feed");
  let since = 0;
  let numbers = 0;
  let cut = 0;
  let latest = 0;
  for (const end = Date.now() + 60_000; numbers < count && Date.now() < end;) {
    const read = await door.sdk.sessions.events({ sessionUlid: session, sinceSeq: since, waitMs: 20_000 });
    const now = Date.now();
    for (const event of read["events"] as { seq: number; type: string; at: string }[]) {
      expect(event.seq).toBe(since + 1);
      since = event.seq;
      if (event.type !== "tool.completed") continue;
      numbers += 1;
      if (cut > 0) latest = Math.max(latest, now - Date.parse(event.at));
    }
    if (cut === 0 && numbers >= 2) cut = doors.silence(isFeed);
  }
  expect(cut).toBe(1);
  expect(numbers).toBe(count);
  console.log(`the reader was late by at most ${latest} ms`);
  // A second, and what a busy machine adds.
  expect(latest).toBeLessThan(6_000);
  await on.baton.turnsEnded(session, 1, 30_000);
}, 120_000);

test("an append whose answer is lost after its commit is not appended again (row 10)", async () => {
  const session = await launchNumbered(on.baton, on.stack, { key: key("lost-append"), count: 60, everyMs: 60 });
  await on.baton.eventually("the agent works", async () => (await stored(on.baton, session)) > 3, 30_000);
  for (let n = 0; n < 6; n++) {
    await hosts.loseReply((chunk) => chunk.includes("lane_append"));
    await sleep(100);
  }
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(await stored(on.baton, session)).toBe(60);
  await rightly(session);
}, 120_000);

test("a turn whose report could not be noted is noted while the next one runs (row 9)", async () => {
  const refused = hosts.refuse((chunk) => chunk.includes("set reported_at"));
  const session = await launchScripted(on.baton, on.stack, {
    key: key("unnoted"),
    turns: [[{ say: "one" }], [{ numbered: { count: 60, everyMs: 50 } }]],
  });
  await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "and then" });
  await refused;
  await on.baton.turnsEnded(session, 2, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
}, 60_000);

test("a launch whose answer is lost after its commit says that it may be applied, and its repeat is the same session (row 10)", async () => {
  const body = { key: key("lost-launch"), turns: [[{ say: "done" }]] };
  const lost = doors.loseReply((chunk, link) => chunk.includes("commit\0") && link.sent.includes("insert into client_request"));
  await expect(launchScripted(door, on.stack, body)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    detail: { applied: "unknown", retryable: true, retryAfterMs: expect.any(Number) },
  });
  await lost;
  const recorded = await on.baton.query<{ session_ulid: string }>("select session_ulid from session where client_request_id = $1", [body.key]);
  expect(recorded).toHaveLength(1);
  const session = await launchScripted(door, on.stack, body);
  expect(session).toBe(recorded[0]?.session_ulid);
  await on.baton.turnsEnded(session, 1, 30_000);
  expect(await on.baton.query("select 1 from session where client_request_id = $1", [body.key])).toHaveLength(1);
  await rightly(session);
}, 90_000);

test("a turn's end whose answer is lost after its commit is reported once, and the agent is not asked again (row 10)", async () => {
  const lost = hosts.loseReply((chunk, link) => chunk.includes("commit\0") && link.sent.includes("set state = 'done', ended_at"));
  const session = await launchNumbered(on.baton, on.stack, { key: key("lost-end"), count: 5, everyMs: 20 });
  await lost;
  await on.baton.turnsEnded(session, 1, 60_000);
  // At once by the host itself, not after its beats had run out.
  expect(await on.baton.query("select attempt from turn where session_ulid = $1", [session])).toEqual([{ attempt: 1 }]);
  await rightly(session);
  // The session goes on.
  await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "again" });
  await on.baton.turnsEnded(session, 2, 30_000);
}, 120_000);

test("with 200 ms for each statement the appends grow instead of the delay and the memory (row 12)", async () => {
  const before = memory();
  hosts.latencyMs = 200;
  const session = await launchNumbered(on.baton, on.stack, { key: key("slow"), count: 250, everyMs: 10 });
  // 500 events one by one would take 100 s.
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(await stored(on.baton, session)).toBe(250);
  await rightly(session);
  expect(memory() - before).toBeLessThan(150 * 1_024);
}, 120_000);

test("when all connections of the host are cut in silence it beats on, makes new ones and loses nothing", async () => {
  const session = await launchNumbered(on.baton, on.stack, { key: key("silence"), count: 120, everyMs: 100 });
  await on.baton.eventually("the agent works", async () => (await stored(on.baton, session)) > 3, 30_000);
  expect(hosts.silence()).toBeGreaterThan(1);
  await on.baton.turnsEnded(session, 1, 90_000);
  expect(await stored(on.baton, session)).toBe(120);
  expect(emitted(on.stack, session)).toBe(120);
  // The outage of the network was longer than the beat's time-out, and Temporal did not take it for the host's death.
  expect(await on.baton.query("select attempt from turn where session_ulid = $1", [session])).toEqual([{ attempt: 1 }]);
  await rightly(session);
  // Also what asks seldom and alone has found a new connection: the lease, and the inbox that ends the agent.
  await on.baton.eventually(
    "the lease is renewed",
    async () => (await on.baton.query("select 1 from host where lease_until > clock_timestamp()")).length === 1,
    40_000,
  );
  await on.baton.closeSession(session);
  await on.baton.eventually(
    "its runner is ended",
    async () => (await on.baton.query("select 1 from runner where session_ulid = $1 and ended_at is null", [session])).length === 0,
    40_000,
  );
}, 180_000);

/** Resident kB of the host worker. */
const memory = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${on.host.pid}/status`, "utf8"))?.[1]);
