import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import type { TestBaton } from "../faults/support/launch.ts";
import type { Seen } from "./model.ts";

/** What is true about a session now, from rows and spools alone. */
export async function observe(baton: TestBaton, home: string, sessionUlid: string, key: string): Promise<Seen> {
  const [session] = await baton.query<{ closed: boolean; generation: number }>(
    "select closed_at is not null closed, generation from session where session_ulid = $1",
    [sessionUlid],
  );
  const ofKey = await baton.query("select 1 from session where client_request_id = $1", [key]);
  const inputs = await baton.query<Seen["inputs"][number]>('select input_id "inputId", state, reason from input where session_ulid = $1 order by input_id', [
    sessionUlid,
  ]);
  const turns = await baton.query<Omit<Seen["turns"][number], "prompts">>(
    `select t.turn_id "turnId", n, attempt, result->>'outcome' outcome,
     (select count(*)::int from event e where e.session_ulid = t.session_ulid and e.turn_id = t.turn_id and e.type = 'turn.completed') ends
     from turn t where session_ulid = $1 order by n`,
    [sessionUlid],
  );
  const approvals = await baton.query<Seen["approvals"][number]>(
    `select approval_id "approvalId", state, decision,
     (select count(*)::int from event e where e.session_ulid = a.session_ulid and e.type = 'approval.resolved' and e.data->>'approvalId' = a.approval_id) resolved
     from approval a where session_ulid = $1`,
    [sessionUlid],
  );
  const prompts = promptsWritten(home, sessionUlid);
  return {
    sessionsOfKey: ofKey.length,
    closed: session?.closed ?? false,
    generation: Number(session?.generation ?? 0),
    inputs,
    turns: turns.map((turn) => ({ ...turn, prompts: prompts.filter((turnId) => turnId === turn.turnId).length })),
    approvals,
  };
}

function promptsWritten(home: string, sessionUlid: string): string[] {
  const dir = join(home, "runners", sessionUlid);
  const records = list(dir).flatMap((name) =>
    readFileSync(join(dir, name), "utf8")
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as SpoolRecord),
  );
  return records.flatMap((record) => (record.kind === "mark" && record.mark === "prompt.written" ? [record.turnId] : []));
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir).filter((name) => name.startsWith("spool-"));
  } catch {
    return []; // no runner was ever started for it
  }
}
