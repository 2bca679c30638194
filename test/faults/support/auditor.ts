import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import type { SpoolRecord } from "../../../contracts/runner-protocol.ts";

/**
 * What is wrong, in sentences; empty: all promises held. Reads Postgres, spools and /proc, and none of Baton's own code.
 * `turnsPerSession` null: the caller counts turns and their inputs itself.
 */
export async function audit(a: { databaseUrl: string; home: string; sessions: string[]; turnsPerSession: number | null }): Promise<string[]> {
  const db = new pg.Client(a.databaseUrl);
  await db.connect();
  const wrong: string[] = [];
  try {
    for (const session of a.sessions) {
      const { rows } = await db.query<{ seq: string; type: string; turn_id: string | null; data: unknown }>(
        "select seq, type, turn_id, data from event where session_ulid = $1 order by seq",
        [session],
      );
      rows.forEach((row, at) => {
        if (Number(row.seq) !== at + 1) wrong.push(`${session}: seq ${row.seq} at place ${at + 1}`);
      });
      const ended = rows.filter((row) => row.type === "turn.completed").map((row) => row.turn_id);
      if (a.turnsPerSession !== null && (ended.length !== a.turnsPerSession || new Set(ended).size !== ended.length))
        wrong.push(`${session}: ${ended.length} turns completed (${new Set(ended).size} different), ${a.turnsPerSession} asked`);
      const written = spooledEvents(a.home, session);
      const stored = rows.filter((row) => numbered(row.type, row.data)).map((row) => numbered(row.type, row.data));
      const expected = written.filter((event) => numbered(event.type, event.data)).map((event) => numbered(event.type, event.data));
      if (JSON.stringify(stored) !== JSON.stringify(expected)) wrong.push(`${session}: stored ${stored.join(",")} but spooled ${expected.join(",")}`);
    }
    if (a.turnsPerSession === null) return wrong;
    const inputs = await db.query<{ input_id: string; turns: string }>(
      "select i.input_id, count(t.turn_id) turns from input i left join turn t on t.input_id = i.input_id where i.session_ulid = any($1) group by 1 having count(t.turn_id) <> 1",
      [a.sessions],
    );
    for (const row of inputs.rows) wrong.push(`input ${row.input_id} had ${row.turns} turns`);
  } finally {
    await db.end();
  }
  return wrong;
}

/** Each numbered item of the scripted agent ends as a `tool.completed` whose output is its number. */
function numbered(type: string, data: unknown): string | null {
  if (type !== "tool.completed") return null;
  const output = (data as { output?: string }).output?.trim() ?? "";
  return /^\d+$/.test(output) ? output : null;
}

function spooledEvents(home: string, session: string): { type: string; data: unknown }[] {
  const dir = join(home, "runners", session);
  // A session whose every input was cancelled in time never had a runner.
  if (!existsSync(dir)) return [];
  const spools = readdirSync(dir)
    .filter((name) => name.startsWith("spool-"))
    .toSorted();
  const records = spools.flatMap((name) =>
    readFileSync(join(dir, name), "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as SpoolRecord),
  );
  return records.flatMap((record) => (record.kind === "event" ? [record.event] : []));
}

/** Processes whose environment names one of these sessions. */
export function agentProcesses(sessions: string[]): { pid: number; session: string }[] {
  const found: { pid: number; session: string }[] = [];
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const session = /BATON_SESSION=([0-9A-Z]{26})/.exec(readFileSync(`/proc/${entry}/environ`, "latin1"))?.[1];
      if (session && sessions.includes(session)) found.push({ pid: Number(entry), session });
    } catch {
      /* gone, or not ours to read */
    }
  }
  return found;
}
