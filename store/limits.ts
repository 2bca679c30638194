import { ulid } from "ulid";
import { budgetTitle, proposedRaise, type ReachedLimit, reachedLimit, type Used } from "../contracts/limits.ts";
import type { Limits } from "../contracts/preset.ts";
import { type Database, txRow } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { holds } from "./holds.ts";
import type { KeyedEvent, Tx } from "./store.ts";

type Claim = { sessionUlid: string; epoch: number; owner: string; turnId: string };
/** What a turn may still use. `used`: by the session's other turns; `agentMs`: by this one so far. */
export interface Allowance {
  limits: Limits;
  used: Used;
  agentMs: number;
}
export type Gate = "go" | "wait" | "denied" | "fenced";

/** A session's limits: what was used, who was asked, what was added. */
export interface LimitStore {
  /** May the claimed turn start? Asks (an approval of kind `budget`) when a limit is used up. `denied`: somebody said no while it waited. */
  gate(claim: Claim): Promise<Gate>;
  allowance(sessionUlid: string, turnId: string): Promise<Allowance>;
  /** keeps the agent's time in a turn; it only grows */
  count(sessionUlid: string, turnId: string, agentMs: number): Promise<void>;
  /** writes down, before the turn is interrupted, why; the first reason stays. False: fenced */
  reached(claim: Claim, reached: ReachedLimit): Promise<boolean>;
  /** why the turn was or is to be interrupted */
  mark(sessionUlid: string, turnId: string): Promise<ReachedLimit | null>;
  /** stores what the answer to an approval adds; true: nothing waits in the session that would go on by itself */
  raise(tx: Tx, a: { approvalId: string; sessionUlid: string; add: Limits }): Promise<{ nothingWaits: boolean }>;
}

export function limitStore(db: Database): LimitStore {
  const markKey = (turnId: string) => `limit:${turnId}`;
  return {
    gate: (claim) => db.transaction((tx) => gate(db, tx, claim)),
    async allowance(sessionUlid, turnId) {
      return (await db.row<Raw>(allowanceSelect, [sessionUlid, turnId]).then((raw) => raw && toAllowance(raw))) ?? nothing;
    },
    async count(sessionUlid, turnId, agentMs) {
      await db.rows("update turn set agent_ms = greatest(agent_ms, $3) where session_ulid = $1 and turn_id = $2", [sessionUlid, turnId, Math.round(agentMs)]);
    },
    reached: (claim, reached) =>
      db.transaction(async (tx) => {
        if (!holds(await lockHead(tx, claim.sessionUlid), claim)) return false;
        await appendEvents(db, tx, claim.sessionUlid, [
          { key: markKey(claim.turnId), event: { type: "turn.limit_reached", turnId: claim.turnId, data: reached } },
        ]);
        return true;
      }),
    async mark(sessionUlid, turnId) {
      const found = await db.row<{ data: ReachedLimit }>("select data from event where session_ulid = $1 and event_key = $2", [sessionUlid, markKey(turnId)]);
      return found?.data ?? null;
    },
    raise,
  };
}

/** The question that a reached limit puts to people. It belongs to the session: a turn's end does not settle it. */
export function budgetQuestion(turnId: string, reached: ReachedLimit): KeyedEvent {
  const approvalId = ulid();
  const { limit, used, allowed } = reached;
  return {
    key: `budget:${approvalId}`,
    event: {
      type: "approval.requested",
      data: {
        approvalId,
        kind: "budget",
        title: budgetTitle(reached),
        detail: { limit, used, allowed, turnId, why: `limits.${limit}` },
        options: [
          { id: "allow", label: "Add to the limit and go on", add: { ...proposedRaise(reached) } },
          { id: "deny", label: "Stop here" },
        ],
        requestKey: `budget:${limit}`,
      },
    },
  };
}

async function gate(db: Database, tx: Tx, claim: Claim): Promise<Gate> {
  if (!holds(await lockHead(tx, claim.sessionUlid), claim)) return "fenced";
  const asked = await txRow<{ open: boolean; denied: boolean }>(
    tx,
    // Denied while this turn waited: the answer was its, too.
    `select coalesce(bool_or(a.state = 'open'), false) as open,
      coalesce(bool_or(a.decision = 'deny' and a.answered_at > t.created_at), false) as denied
    from turn t left join approval a on a.session_ulid = t.session_ulid and a.kind = 'budget' where t.session_ulid = $1 and t.turn_id = $2`,
    [claim.sessionUlid, claim.turnId],
  );
  if (asked?.open) return "wait";
  if (asked?.denied) return "denied";
  const raw = await txRow<Raw>(tx, allowanceSelect, [claim.sessionUlid, claim.turnId]);
  const { limits, used } = raw ? toAllowance(raw) : nothing;
  const reached = reachedLimit(limits, used);
  if (!reached) return "go";
  await appendEvents(db, tx, claim.sessionUlid, [budgetQuestion(claim.turnId, reached)]);
  return "wait";
}

async function raise(tx: Tx, a: { approvalId: string; sessionUlid: string; add: Limits }): Promise<{ nothingWaits: boolean }> {
  const { wallSeconds = 0, idleSeconds = 0, turns = 0, tokens = 0, costMicros = 0 } = a.add;
  await tx.query(
    "insert into limit_raise (approval_id, session_ulid, wall_seconds, idle_seconds, turns, tokens, cost_micros) values ($1, $2, $3, $4, $5, $6, $7)",
    [a.approvalId, a.sessionUlid, wallSeconds, idleSeconds, turns, tokens, costMicros],
  );
  // Nobody has to be told: the answer is in force with this row.
  await tx.query("update approval set state = 'delivered' where approval_id = $1 and state = 'answered'", [a.approvalId]);
  const waiting = await txRow(
    tx,
    `select 1 as one from session s where s.session_ulid = $1 and (s.closed_at is not null
      or exists (select 1 from input i where i.session_ulid = s.session_ulid and i.state in ('recorded', 'accepted', 'delivering'))
      or exists (select 1 from turn t where t.session_ulid = s.session_ulid and t.state <> 'done'))`,
    [a.sessionUlid],
  );
  return { nothingWaits: waiting === null };
}

const allowanceSelect = `select session_limits(s.session_ulid, s.args->'effective'->'limits') as limits,
  coalesce(sum(t.agent_ms) filter (where t.turn_id <> $2), 0)::bigint as others_ms, coalesce(sum(t.agent_ms) filter (where t.turn_id = $2), 0)::bigint as agent_ms,
  count(*) filter (where t.turn_id <> $2 and t.prompt_sent_at is not null) as turns,
  coalesce(sum((t.result->'usage'->>'inputTokens')::numeric + (t.result->'usage'->>'outputTokens')::numeric) filter (where t.turn_id <> $2), 0)::bigint as tokens,
  coalesce(sum((t.result->'usage'->>'costMicros')::numeric) filter (where t.turn_id <> $2), 0)::bigint as cost_micros
from session s left join turn t using (session_ulid) where s.session_ulid = $1 group by s.session_ulid`;
interface Raw {
  limits: Limits;
  othersMs: number;
  agentMs: number;
  turns: number;
  tokens: number;
  costMicros: number;
}
const toAllowance = ({ limits, othersMs, agentMs, turns, tokens, costMicros }: Raw): Allowance => ({
  limits,
  used: { wallSeconds: othersMs / 1_000, turns, tokens, costMicros },
  agentMs,
});
const nothing: Allowance = { limits: {}, used: { wallSeconds: 0, turns: 0, tokens: 0, costMicros: 0 }, agentMs: 0 };
