import type { ChainReason, GateView } from "../contracts/messages.ts";
import type { Candidate } from "../contracts/event.ts";
import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import { type Database, txRow, txRows } from "./database.ts";
import { appendEvents } from "./events.ts";
import { askedByChain, failAskedByChain } from "./fail-inputs.ts";
import { storable } from "./storable.ts";
import type { ChainRow, VerdictRow } from "./rows.ts";
import type { KeyedEvent, Tx } from "./store.ts";

/** Chains and the verdicts in them. */
export interface ChainStore {
  insert(
    tx: Tx,
    a: { chainId: string; workflowId: string; taskKey: string; principal: string; config: Record<string, unknown>; executorUlid: string },
  ): Promise<void>;
  get(chainId: string): Promise<ChainRow | null>;
  /** with its executor's first generation */
  markStarted(chainId: string, runId?: string): Promise<void>;
  unstarted(minAgeMs: number, maxAgeMs: number): Promise<ChainRow[]>;
  /** started and not ended, by id, behind `after` ("": from the first) */
  startedAndOpen(a: { after: string; limit: number }): Promise<ChainRow[]>;
  setRound(chainId: string, round: number, candidate?: Candidate): Promise<void>;
  setGates(chainId: string, gates: GateView[]): Promise<void>;
  /** ends the chain, with what it asked and no turn has taken; approved: the task becomes `verified`. Idempotent. */
  finish(chainId: string, reason: ChainReason, why: string): Promise<void>;
  /** stored once per (session, turn), with `verdict.recorded` */
  recordVerdict(v: Omit<VerdictRow, "verdictId" | "createdAt">): Promise<VerdictRow>;
  verdicts(chainId: string): Promise<VerdictRow[]>;
}

const verdictColumns = "verdict_id, chain_id, session_ulid, turn_id, role, round, decision, score, summary, findings, tree, created_at";

const chainColumns =
  "chain_id, workflow_id, task_key, principal, config, round, state, reason, why, executor_ulid, candidate, created_at, started_at, ended_at, gates, rounds_added, run_id";

/** Chains and verdicts. A chain's own events are in its executor's log. */
export function chainStore(db: Database): ChainStore {
  /** The chain's row under its lock, after the executor's head (the order of every writer). */
  const change = (chainId: string, body: (tx: Tx, chain: ChainRow) => Promise<KeyedEvent[]>) =>
    db.transaction(async (tx) => {
      const executor = await txRow<{ executorUlid: string }>(tx, "select executor_ulid from chain where chain_id = $1", [chainId]);
      if (!executor) throw new BatonError("NOT_FOUND", `There is no chain ${chainId}.`);
      await tx.query("select 1 from head where session_ulid = $1 for update", [executor.executorUlid]);
      const chain = (await txRow<ChainRow>(tx, `select ${chainColumns} from chain where chain_id = $1 for update`, [chainId]))!;
      const events = await body(tx, chain);
      if (events.length > 0) await appendEvents(db, tx, chain.executorUlid, events);
    });
  return {
    async insert(tx, a) {
      await tx.query("insert into chain (chain_id, workflow_id, task_key, principal, config, executor_ulid) values ($1, $2, $3, $4, $5, $6)", [
        a.chainId,
        a.workflowId,
        a.taskKey,
        a.principal,
        JSON.stringify(a.config),
        a.executorUlid,
      ]);
      await appendEvents(db, tx, a.executorUlid, [
        { key: `chain.started:${a.chainId}`, event: { type: "chain.started", data: { chainId: a.chainId, taskKey: a.taskKey } } },
      ]);
    },
    get: (chainId) => db.row<ChainRow>(`select ${chainColumns} from chain where chain_id = $1`, [chainId]),
    // With its executor: nobody would mark that one later, since a chain that is marked is not started again.
    markStarted: (chainId, runId) =>
      change(chainId, async (tx) => {
        await tx.query(
          `with c as (update chain set started_at = coalesce(started_at, clock_timestamp()), run_id = coalesce(run_id, $2) where chain_id = $1 returning executor_ulid, started_at),
          g as (update generation g set started_at = coalesce(g.started_at, c.started_at) from c where g.session_ulid = c.executor_ulid and g.generation = 1)
          update session s set started_at = c.started_at from c where s.session_ulid = c.executor_ulid and s.generation = 1 and s.started_at is null`,
          [chainId, runId ?? null],
        );
        return [];
      }),
    unstarted: (minAgeMs, maxAgeMs) =>
      db.rows<ChainRow>(
        `select ${chainColumns} from chain where started_at is null and ended_at is null
      and created_at < clock_timestamp() - $1 * interval '1 ms' and created_at > clock_timestamp() - $2 * interval '1 ms' order by chain_id limit 200`,
        [minAgeMs, maxAgeMs],
      ),
    startedAndOpen: ({ after, limit }) =>
      db.rows<ChainRow>(`select ${chainColumns} from chain where started_at is not null and ended_at is null and chain_id > $1 order by chain_id limit $2`, [
        after,
        limit,
      ]),
    setRound: (chainId, round, candidate) =>
      change(chainId, async (tx) => {
        await tx.query("update chain set round = greatest(round, $2), candidate = coalesce($3, candidate) where chain_id = $1", [
          chainId,
          round,
          candidate ? JSON.stringify(candidate) : null,
        ]);
        return [{ key: `chain.round:${chainId}:${round}`, event: { type: "chain.round_started", data: { chainId, round } } }];
      }),
    setGates: (chainId, gates) =>
      change(chainId, async (tx, chain) => {
        await tx.query("update chain set gates = $2 where chain_id = $1", [chainId, JSON.stringify(storable(gates))]);
        // once per round and answer: an evaluation that is repeated says nothing new
        return gates.map((g) => ({
          key: `gate:${chainId}:${chain.round}:${g.name}:${g.passed}`,
          event: { type: g.passed ? "gate.passed" : "gate.failed", data: { name: g.name, why: g.why } },
        }));
      }),
    finish: (chainId, reason, why) =>
      change(chainId, async (tx, chain) => {
        if (chain.state === "ended") return [];
        await tx.query("update chain set state = 'ended', reason = $2, why = $3, ended_at = clock_timestamp() where chain_id = $1", [chainId, reason, why]);
        const unanswered = await txRows<{ approvalId: string }>(
          tx,
          "update approval set state = 'expired', reason = 'chain_ended' where chain_id = $1 and state = 'open' returning approval_id",
          [chainId],
        );
        const asked = await txRows<{ sessionUlid: string }>(
          tx,
          `select distinct i.session_ulid from input i join session s using (session_ulid) where s.chain_id = $1 and i.state = 'recorded' and ${askedByChain} order by 1`,
          [chainId],
        );
        for (const { sessionUlid } of asked) await failAskedByChain(db, tx, sessionUlid);
        if (reason === "approved")
          await tx.query("update task set status = 'verified', updated_at = clock_timestamp() where task_key = $1 and status <> 'done'", [chain.taskKey]);
        return [
          ...unanswered.map(({ approvalId }): KeyedEvent => ({
            key: `approval.expired:${approvalId}`,
            event: { type: "approval.expired", data: { approvalId, reason: "chain_ended" } },
          })),
          { key: `chain.ended:${chainId}`, event: { type: "chain.ended", data: { chainId, reason } } },
        ];
      }),
    recordVerdict: (v) => db.transaction((tx) => recordVerdict(db, tx, v)),
    verdicts: (chainId) => db.rows<VerdictRow>(`select ${verdictColumns} from verdict where chain_id = $1 order by created_at, verdict_id`, [chainId]),
  };
}

async function recordVerdict(db: Database, tx: Tx, v: Omit<VerdictRow, "verdictId" | "createdAt">): Promise<VerdictRow> {
  const made = await txRow<VerdictRow>(
    tx,
    `insert into verdict (verdict_id, chain_id, session_ulid, turn_id, role, round, decision, score, summary, findings, tree)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (session_ulid, turn_id) do nothing returning ${verdictColumns}`,
    [ulid(), v.chainId, v.sessionUlid, v.turnId, v.role, v.round, v.decision, v.score, storable(v.summary), JSON.stringify(storable(v.findings)), v.tree],
  );
  if (!made) return (await txRow<VerdictRow>(tx, `select ${verdictColumns} from verdict where session_ulid = $1 and turn_id = $2`, [v.sessionUlid, v.turnId]))!;
  await appendEvents(db, tx, v.sessionUlid, [
    {
      key: `verdict.recorded:${v.turnId}`,
      event: {
        type: "verdict.recorded",
        turnId: v.turnId,
        data: { verdictId: made.verdictId, decision: v.decision, score: v.score, summary: v.summary, tree: v.tree, findings: v.findings.length },
      },
    },
  ]);
  return made;
}
