import { setTimeout as sleep } from "node:timers/promises";
import { agentProcesses, audit } from "../faults/support/auditor.ts";
import type { Met } from "./counters.ts";
import { type Driver, driveSession } from "./drive-session.ts";
import type { Lane } from "./lane.ts";
import { differences, type Seen } from "./model.ts";
import { observe } from "./observe.ts";
import type { Plan } from "./plan.ts";

/** A session that has more to do must show an event at least this often; an overloaded machine is slow, not still. */
const stillMs = 45_000;

/** Runs a plan and compares what became of it with the model. Empty: all as promised; else the report for a person. */
export async function runPlan(lane: Lane, plan: Plan, run: string, met: Met): Promise<string> {
  const began = Date.now();
  const story: string[] = [];
  const say = (text: string): void => void story.push(`${String(Date.now() - began).padStart(6)} ms  ${text}`);
  const drivers = plan.sessions.map((commands, n) => driveSession({ lane, key: `${lane.stack.env["BATON_INSTANCE"]}-${run}-${n}`, commands, met, say }));
  const killsBefore = lane.runnerKills;
  let found: string[];
  try {
    await Promise.all([...drivers.map((driver) => driver.run()), strikeAll(lane, plan, drivers, say)]);
    found = [...(await lane.recover()), ...drivers.flatMap((driver) => driver.wrong)];
    found.push(...(await rest(lane, drivers)));
    for (const driver of drivers) found.push(...(await compare(lane, driver, lane.runnerKills - killsBefore, met)));
    if (found.length === 0) found.push(...(await closeAll(lane, drivers)));
  } catch (error) {
    found = [`the run itself failed: ${String((error as Error).stack ?? error)}`];
  }
  if (found.length === 0) return "";
  const log = (await Promise.all(drivers.map((driver) => eventsOf(lane, driver, began)))).flat();
  const rows = await Promise.all(
    drivers.map(async (driver) => (driver.sessionUlid === undefined ? null : observe(lane.baton, lane.stack.home, driver.sessionUlid, driver.key))),
  ).catch(String);
  return [
    `${plan.seed} (again: BATON_MODEL_SEED="${plan.seed}")`,
    ...found.map((line) => `  WRONG ${line}`),
    ...story.map((line) => `  ${line}`),
    ...log.map((line) => `  ${line}`),
    ...(Array.isArray(rows) ? rows.map((seen) => `  ${JSON.stringify(seen)}`) : [rows]),
  ].join("\n");
}

/** The sessions' own story, for the report. */
async function eventsOf(lane: Lane, driver: Driver, began: number): Promise<string[]> {
  const rows = await lane.baton.query<{ at: Date; type: string; turn: string | null; attempt: number | null; data: string }>(
    "select at, type, turn_id turn, attempt, left(data::text, 160) as data from event where session_ulid = $1 and type not like 'tool.%' order by seq",
    [driver.sessionUlid ?? ""],
  );
  return rows.map(
    (row) => `${String(new Date(row.at).getTime() - began).padStart(6)} ms  ${driver.key} ${row.type} ${row.turn ?? ""} ${row.attempt ?? ""} ${row.data}`,
  );
}

async function strikeAll(lane: Lane, plan: Plan, drivers: Driver[], say: (text: string) => void): Promise<void> {
  for (const { afterMs, what, early } of plan.faults) {
    // Counted from a moment at which there is something to disturb.
    for (let waited = 0; !early && waited < 5_000 && !(await anyTurnRuns(lane, drivers)); waited += 20) await sleep(20);
    await sleep(afterMs);
    say(`FAULT ${JSON.stringify(what)}`);
    await lane.strike(
      what,
      drivers.map((driver) => driver.sessionUlid),
    );
    say(`FAULT ${what.fault} is over`);
  }
}

async function rest(lane: Lane, drivers: Driver[]): Promise<string[]> {
  let left = drivers;
  let moved = { at: Date.now(), events: "" };
  for (; left.length > 0; await sleep(50)) {
    const events = await lastEvents(lane, left);
    if (events !== moved.events) moved = { at: Date.now(), events };
    if (Date.now() > moved.at + stillMs) return left.map((driver) => `${driver.key} does not come to rest, and nothing happened for ${stillMs} ms`);
    const rested = await Promise.all(left.map((driver) => driver.rest()));
    left = left.filter((_, at) => !rested[at]);
  }
  return [];
}

async function anyTurnRuns(lane: Lane, drivers: Driver[]): Promise<boolean> {
  const sessions = drivers.map((driver) => driver.sessionUlid ?? "");
  return (await lane.baton.query("select 1 from turn where session_ulid = any($1) and state = 'running' limit 1", [sessions])).length > 0;
}

async function lastEvents(lane: Lane, drivers: Driver[]): Promise<string> {
  const sessions = drivers.map((driver) => driver.sessionUlid ?? "");
  return JSON.stringify(await lane.baton.query("select session_ulid, last_seq from head where session_ulid = any($1) order by 1", [sessions]));
}

async function compare(lane: Lane, driver: Driver, runnerKills: number, met: Met): Promise<string[]> {
  const session = driver.sessionUlid ?? "";
  const seen = await observe(lane.baton, lane.stack.home, session, driver.key);
  await count(lane, session, seen, met);
  const audited = await audit({ databaseUrl: lane.stack.databaseUrl, home: lane.stack.home, sessions: [session], turnsPerSession: null });
  const wrong = audited.filter((line) => !isCutShort(line, seen));
  return [...differences(driver.facts, seen, runnerKills), ...wrong].map((line) => `${driver.key}: ${line}`);
}

/** What an agent still says in a turn that was given up while no worker looked is in its spool alone. All that is stored must be in the spool's order. */
function isCutShort(line: string, seen: Seen): boolean {
  const [, stored, spooled] = /: stored ([\d,]*) but spooled ([\d,]*)$/.exec(line) ?? [];
  if (stored === undefined || spooled === undefined || !seen.turns.some((turn) => turn.outcome === "interrupted")) return false;
  const left = stored.split(",").filter(Boolean);
  for (const number of spooled.split(",")) if (left[0] === number) left.shift();
  return left.length === 0;
}

async function count(lane: Lane, session: string, seen: Seen, met: Met): Promise<void> {
  met["a turn was interrupted"] += seen.turns.filter((turn) => turn.outcome === "interrupted").length;
  met["a turn took more than one attempt"] += seen.turns.filter((turn) => turn.attempt > 1).length;
  met["a generation was woken"] += seen.generation - 1;
  met["a waiting input was dropped by an abort"] += seen.inputs.filter((input) => input.state === "failed" && input.reason === "aborted").length;
  const refused = await lane.baton.query(
    "select 1 from event where session_ulid = $1 and type = 'line.unparsed' and data->>'reason' like 'The database refused it%'",
    [session],
  );
  met["a batch was bisected"] += refused.length;
}

/** Every session of the plan is closed, and no process of one may be left. */
async function closeAll(lane: Lane, drivers: Driver[]): Promise<string[]> {
  await Promise.all(drivers.map((driver) => driver.close()));
  const sessions = drivers.flatMap((driver) => driver.sessionUlid ?? []);
  for (const end = Date.now() + 30_000; Date.now() < end; await sleep(50)) if (agentProcesses(sessions).length === 0) return [];
  return agentProcesses(sessions).map((left) => `process ${left.pid} of the closed session ${left.session} is alive`);
}
