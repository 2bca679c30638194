import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { agentProcesses, audit } from "../support/auditor.ts";
import { launchNumbered, launchScripted } from "../support/launch.ts";
import { kill, onStack } from "../support/on-stack.ts";

const hour = 3_600_000;
const steps = process.env["BATON_TEST_FULL"] === "1" ? 20 : 4;
const on = onStack({ start: ["engine"] });
const caller = { principal: "local", actor: "@test" };
const clock = (): string => join(on.stack.home, "clock");
const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;

/** A host worker whose wall clock is what the file says. */
async function startShiftedHost(options?: Parameters<typeof on.stack.startHost>[0]) {
  on.stack.env["NODE_OPTIONS"] = `--import=${join(import.meta.dirname, "..", "support", "clock-shift.ts")}`;
  on.stack.env["BATON_TEST_CLOCK"] = clock();
  try {
    return await on.stack.startHost(options);
  } finally {
    delete on.stack.env["NODE_OPTIONS"];
    delete on.stack.env["BATON_TEST_CLOCK"];
  }
}

test("the host's clock steps an hour forth and back while agents work: no attempt lost, no limit reached, order by seq, no event twice (row 24)", async () => {
  on.host = await startShiftedHost();
  const sessions = await Promise.all([1, 2].map((n) => launchNumbered(on.baton, on.stack, { key: key(`steps-${n}`), count: steps * 40, everyMs: 40 })));
  // Its own limit is counted in working seconds: an hour that did not pass is none.
  const { data } = await on.baton.sdk.sessions.launch(caller, {
    clientRequestId: key("limited"),
    actor: "@test",
    taskKey: key("limited"),
    launcherConfigKey: "demo-executor",
    prompt: "go",
    limits: { wallSeconds: 120 },
    config: { scenario: { turns: [[{ numbered: { count: steps * 40, everyMs: 40 } }]] } },
    task: { title: "limited", repositoryPath: on.stack.repository, projectKey: "FAULTS" },
  });
  sessions.push(String(data["sessionUlid"]));
  await on.baton.eventually(
    "all agents at work",
    async () => (await on.baton.query("select distinct session_ulid from event where type = 'tool.completed'")).length === sessions.length,
    60_000,
  );
  for (let n = 0; n < steps; n++) {
    writeFileSync(clock(), String([hour, -hour, 0, -2 * hour][n % 4]));
    await sleep(900);
  }
  for (const session of sessions) await on.baton.turnsEnded(session, 1, 120_000);
  expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions, turnsPerSession: 1 })).toEqual([]);
  for (const session of sessions) expect(await on.baton.outcomes(session)).toEqual(["completed"]);
  expect(await on.baton.query("select 1 from turn where attempt > 1")).toEqual([]);
  // Times are the database's: none runs backwards, no turn ends before it began.
  expect(await on.baton.query("select 1 from turn where ended_at < started_at")).toEqual([]);
  expect(
    await on.baton.query(
      "select 1 from (select at - lag(at) over (partition by session_ulid order by seq) as step from event) s where step < interval '-1 s' or step > interval '10 min'",
    ),
  ).toEqual([]);
  expect(on.host.exitCode).toBeNull();

  // An abort and a close still take their time, not the clock's.
  writeFileSync(clock(), String(-hour));
  const hanging = await launchScripted(on.baton, on.stack, { key: key("hanging"), turns: [[{ ignoreSignals: { children: 1 } }, { say: "deaf" }, "hang"]] });
  await on.baton.eventually("it hangs", async () => agentProcesses([hanging]).length > 1, 60_000);
  writeFileSync(clock(), String(hour));
  expect((await on.baton.sdk.sessions.abort(caller, { sessionUlid: hanging }))["aborted"]).toBe(true);
  writeFileSync(clock(), String(-2 * hour));
  await on.baton.turnsEnded(hanging, 1, 60_000);
  expect(await on.baton.outcomes(hanging)).toEqual(["interrupted"]);
  await on.baton.eventually("no process is left", async () => agentProcesses([hanging]).length === 0, 30_000);
  await kill(on.host);
}, 240_000);

test("a host that was killed before its runner was there comes back with a clock an hour behind: the turn goes on in seconds (row 24)", async () => {
  rmSync(clock(), { force: true });
  const fired = join(on.stack.home, "fired-before-spawn");
  const first = await startShiftedHost({ stop: { name: "runner.spawn.before", hit: 1, action: "kill" }, fired });
  const session = await launchNumbered(on.baton, on.stack, { key: key("behind"), count: 5, everyMs: 10 });
  await on.baton.eventually("the host is killed", async () => existsSync(fired) && first.signalCode === "SIGKILL", 60_000);
  writeFileSync(clock(), String(-hour));
  on.host = await startShiftedHost();
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions: [session], turnsPerSession: 1 })).toEqual([]);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
}, 150_000);
