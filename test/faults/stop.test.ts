import { setTimeout as sleep } from "node:timers/promises";
import { agentProcesses } from "./support/auditor.ts";
import { launchMute, launchNumbered } from "./support/launch.ts";
import { kill } from "./support/on-stack.ts";
import { onOwnServers } from "./support/own-servers.ts";

/** After it, the supervisor would kill what is left. */
const graceMs = 15_000;
const on = onOwnServers({ temporal: true, start: ["engine"] });
const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
beforeEach(async () => {
  if (!on.temporal.isUp()) await on.temporal.start();
  on.host = await on.stack.startHost();
}, 60_000);

/** Ctrl-C; how long the host took to end by itself. */
async function stopHost(): Promise<number> {
  const from = performance.now();
  const late = sleep(4 * graceMs, "late", { ref: false });
  const ended = await Promise.race([kill(on.host, "SIGTERM"), late]);
  if (ended === "late") await kill(on.host);
  return performance.now() - from;
}

test("a stop does not wait for an agent that has not opened yet", async () => {
  const session = await launchMute(on.baton, on.stack, key("mute"));
  await on.baton.eventually(
    "the prompt waits",
    async () => (await on.baton.query("select 1 from turn where session_ulid = $1 and prompt_sent_at is not null", [session])).length === 1,
    30_000,
  );
  await sleep(500);
  expect(await stopHost()).toBeLessThan(graceMs);
  await on.baton.eventually("no process", async () => agentProcesses([session]).length === 0, 20_000);
}, 120_000);

test("nor for a Temporal that is away and would have to be told of a turn's end (row 13)", async () => {
  const session = await launchNumbered(on.baton, on.stack, { key: key("untold"), count: 40, everyMs: 50 });
  await on.baton.eventually("it works", async () => (await on.baton.query("select 1 from event where type = 'tool.completed'")).length > 3, 30_000);
  await on.temporal.kill();
  await on.baton.eventually("the result is stored", async () => (await on.baton.outcomes(session)).length === 1, 30_000);
  expect(await stopHost()).toBeLessThan(graceMs);
  await on.temporal.start();
  on.host = await on.stack.startHost();
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed"]);
}, 150_000);
