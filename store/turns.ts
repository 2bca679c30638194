import type { ReachedLimit } from "../contracts/limits.ts";
import type { Candidate } from "../contracts/event.ts";
import { type Database, txRow } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { sessionSelect } from "./session-row.ts";
import type { HeadRow, InputRow, SessionRow, TurnRow, StoredResult } from "./rows.ts";
import type { Tx } from "./store.ts";
import { inputColumns } from "./inputs.ts";
import { holds } from "./holds.ts";
import { completeTurn } from "./turn-completion.ts";

/** Turns: claims, starts, ends and reports. */
export interface TurnStore {
  /** Claims an open session that nothing has claimed yet, before its first turn, for an agent that is started ahead; the epoch, or null: there is nothing to start ahead. */
  claimAhead(a: { sessionUlid: string; owner: string }): Promise<number | null>;
  /** The one claim function (fresh attempt and adoption), one transaction, head locked. A fresh claim inserts the turn (appends `turn.queued`) and marks its input accepted. `taskToken` null keeps the stored one (adoption). */
  claim(a: {
    sessionUlid: string;
    turnId: string;
    inputId: string;
    generation: number;
    attempt: number;
    taskToken: string | null;
    owner: string;
    minEpoch: number;
    /** the run of the workflow that asks */
    runId?: string | undefined;
  }): Promise<
    | { kind: "done"; turn: TurnRow; lastSeq: number; session: SessionRow }
    | { kind: "claimed"; turn: TurnRow; session: SessionRow; input: InputRow; head: HeadRow }
    | { kind: "gone" }
  >;
  get(sessionUlid: string, turnId: string): Promise<TurnRow | null>;
  list(sessionUlid: string): Promise<TurnRow[]>;
  /** turns of this host with `reported_at` null (queued, running, or done but not reported) */
  unreported(hostId: string): Promise<TurnRow[]>;
  /** which of these (session, epoch) this owner still holds */
  owned(owner: string, claims: { sessionUlid: string; epoch: number }[]): Promise<{ sessionUlid: string; epoch: number }[]>;
  /** The turn runs, and its prompt may be with the agent from now on: one commit before it is told. Fenced by (epoch, owner); false when fenced. */
  start(a: { sessionUlid: string; epoch: number; owner: string; turnId: string; runnerId: string; pid: number; candidate?: string }): Promise<boolean>;
  /** points the head at a new runner's spool at offset 0; false when fenced */
  switchSpool(a: { sessionUlid: string; epoch: number; owner: string; spoolId: string }): Promise<boolean>;
  /** result, `turn.completed`, `candidate.captured`, `input.consumed`, open items settled as interrupted, open approvals of the turn expired: one transaction. Idempotent. null when fenced */
  complete(a: {
    sessionUlid: string;
    epoch: number;
    owner: string;
    turnId: string;
    result: StoredResult;
    finalMessage: string;
    stopReason?: string;
    /** the agent's own time in the turn */
    agentMs?: number;
    /** the limit that ended it: people are asked in the same transaction */
    reached?: ReachedLimit;
  }): Promise<{ lastSeq: number; result: StoredResult } | null>;
  /** the candidates up to that turn (absent: the newest), newest first; two at most */
  candidates(sessionUlid: string, turnId?: string): Promise<{ turnId: string; candidate: Candidate }[]>;
  /** what was asked and answered before turn `before`, newest first, texts cut at `most` characters */
  told(
    sessionUlid: string,
    a: { before: number; limit: number; most: number },
  ): Promise<{ n: number; outcome: string | null; prompt: string; answer: string }[]>;
  markReported(sessionUlid: string, turnId: string): Promise<void>;
}

export const turnColumns =
  "session_ulid, turn_id, input_id, n, generation, attempt, state, prompt_sent_at, started_at, ended_at, task_token, reported_at, result, final_message, agent_ms";

/** Turns and the one claim function. */
export function turnStore(db: Database): TurnStore {
  return {
    claim: (a) => db.transaction((tx) => claim(db, tx, a)),
    claimAhead: async (a) =>
      (
        await db.row<{ epoch: number }>(
          `update head h set epoch = 1, owner = $2 from session s
          where h.session_ulid = $1 and h.epoch = 0 and h.owner is null and s.session_ulid = $1 and s.closed_at is null and s.workspace = 'ready' returning h.epoch`,
          [a.sessionUlid, a.owner],
        )
      )?.epoch ?? null,
    get: (sessionUlid, turnId) => db.row<TurnRow>(`select ${turnColumns} from turn where session_ulid = $1 and turn_id = $2`, [sessionUlid, turnId]),
    list: (sessionUlid) => db.rows<TurnRow>(`select ${turnColumns} from turn where session_ulid = $1 order by n`, [sessionUlid]),
    unreported: (hostId) =>
      db.rows<TurnRow>(
        `select ${turnColumns.replaceAll(/\w+/g, "t.$&")} from turn t join session s using (session_ulid) where t.reported_at is null and s.host_id = $1 order by t.session_ulid, t.n`,
        [hostId],
      ),
    owned: (owner, claims) =>
      db.rows<{ sessionUlid: string; epoch: number }>(
        "select h.session_ulid, h.epoch from head h join unnest($2::text[], $3::bigint[]) as c(session_ulid, epoch) using (session_ulid, epoch) where h.owner = $1",
        [owner, claims.map((c) => c.sessionUlid), claims.map((c) => c.epoch)],
      ),
    start: (a) =>
      db.transaction(async (tx) => {
        if (!holds(await lockHead(tx, a.sessionUlid), a)) return false;
        const turn = await txRow<{ attempt: number }>(
          tx,
          "update turn set state = 'running', started_at = coalesce(started_at, clock_timestamp()), prompt_sent_at = coalesce(prompt_sent_at, clock_timestamp()) where session_ulid = $1 and turn_id = $2 and state <> 'done' returning attempt",
          [a.sessionUlid, a.turnId],
        );
        if (!turn) return false;
        // one per attempt and runner: an adoption of a running turn says nothing new
        await appendEvents(db, tx, a.sessionUlid, [
          {
            key: `turn.started:${a.turnId}:${turn.attempt}:${a.runnerId}`,
            event: {
              type: "turn.started",
              turnId: a.turnId,
              attempt: turn.attempt,
              data: { runnerId: a.runnerId, pid: a.pid, ...(a.candidate === undefined ? {} : { candidate: a.candidate }) },
            },
          },
        ]);
        return true;
      }),
    async switchSpool(a) {
      // A repeat after a lost reply must not set the offset back: the same spool keeps its offset.
      const done = await db.row(
        "update head set spool_offset = case when spool_id = $4 then spool_offset else 0 end, spool_id = $4 where session_ulid = $1 and epoch = $2 and owner = $3 returning session_ulid",
        [a.sessionUlid, a.epoch, a.owner, a.spoolId],
      );
      return done !== null;
    },
    complete: (a) => db.transaction((tx) => completeTurn(db, tx, a)),
    candidates: (sessionUlid, turnId) =>
      db.rows(
        `select turn_id, result->'candidate' as candidate from turn where session_ulid = $1 and result->'candidate' is not null
        and n <= coalesce((select n from turn where session_ulid = $1 and turn_id = $2), case when $2::text is null then 2147483647 else 0 end) order by n desc limit 2`,
        [sessionUlid, turnId ?? null],
      ),
    told: (sessionUlid, a) =>
      db.rows(
        `select t.n, t.result->>'outcome' as outcome, left(i.prompt, $4) as prompt, left(coalesce(t.final_message, ''), $4) as answer
        from turn t join input i on i.input_id = t.input_id where t.session_ulid = $1 and t.n < $2 and t.state = 'done' order by t.n desc limit $3`,
        [sessionUlid, a.before, a.limit, a.most],
      ),
    async markReported(sessionUlid, turnId) {
      await db.rows(
        "update turn set reported_at = coalesce(reported_at, clock_timestamp()), task_token = null where session_ulid = $1 and turn_id = $2 and state = 'done'",
        [sessionUlid, turnId],
      );
    },
  };
}

type ClaimArgs = Parameters<TurnStore["claim"]>[0];

async function claim(db: Database, tx: Tx, a: ClaimArgs): ReturnType<TurnStore["claim"]> {
  const before = await lockHead(tx, a.sessionUlid);
  const session = await txRow<SessionRow>(tx, `${sessionSelect} where s.session_ulid = $1`, [a.sessionUlid]);
  const input = await txRow<InputRow>(tx, `select ${inputColumns} from input where input_id = $1 and session_ulid = $2`, [a.inputId, a.sessionUlid]);
  if (!before || !session || !input) return { kind: "gone" };
  const known = await txRow<TurnRow>(tx, `select ${turnColumns} from turn where session_ulid = $1 and turn_id = $2`, [a.sessionUlid, a.turnId]);
  if (known?.state === "done") {
    // A later attempt (the first one's completion was lost) needs its own token told: reported again.
    if (a.taskToken !== null)
      await tx.query("update turn set task_token = $3, attempt = greatest(attempt, $4), reported_at = null where session_ulid = $1 and turn_id = $2", [
        a.sessionUlid,
        a.turnId,
        a.taskToken,
        a.attempt,
      ]);
    const turn = (await txRow<TurnRow>(tx, `select ${turnColumns} from turn where session_ulid = $1 and turn_id = $2`, [a.sessionUlid, a.turnId]))!;
    return { kind: "done", turn, lastSeq: before.lastSeq, session };
  }
  if (session.closedAt !== null || session.generation !== a.generation) return { kind: "gone" };
  // A worker frozen between its poll and its claim must not take the turn from a newer attempt.
  if (known && a.attempt < known.attempt) return { kind: "gone" };
  // Aborted after its workflow had closed, and taken over by the next generation: it has its end and gets no turn.
  if (!known && input.state === "failed") return { kind: "gone" };
  if (!known) await openTurn(db, tx, a);
  else
    await tx.query(
      "update turn set state = case when $3 > attempt then 'queued' else state end, attempt = $3, task_token = coalesce($4, task_token), reported_at = null where session_ulid = $1 and turn_id = $2",
      [a.sessionUlid, a.turnId, a.attempt, a.taskToken],
    );
  // above what the runner reports too: Postgres may have been restored from a backup
  const head = (await txRow<HeadRow>(
    tx,
    "update head set epoch = greatest(epoch, $2) + 1, owner = $3 where session_ulid = $1 returning session_ulid, last_seq, epoch, owner, spool_id, spool_offset, last_delta",
    [a.sessionUlid, a.minEpoch, a.owner],
  ))!;
  const turn = (await txRow<TurnRow>(tx, `select ${turnColumns} from turn where session_ulid = $1 and turn_id = $2`, [a.sessionUlid, a.turnId]))!;
  const accepted = (await txRow<InputRow>(tx, `select ${inputColumns} from input where input_id = $1`, [a.inputId]))!;
  return { kind: "claimed", turn, session: { ...session, lastSeq: head.lastSeq }, input: accepted, head };
}

async function openTurn(db: Database, tx: Tx, a: ClaimArgs): Promise<void> {
  const made = await txRow<{ n: number }>(
    tx,
    `insert into turn (session_ulid, turn_id, input_id, n, generation, attempt, task_token)
    select $1, $2, $3, coalesce(max(n), 0) + 1, $4, $5, $6 from turn where session_ulid = $1 returning n`,
    [a.sessionUlid, a.turnId, a.inputId, a.generation, a.attempt, a.taskToken],
  );
  await tx.query("update input set state = case when state = 'recorded' then 'accepted' else state end, turn_id = $2 where input_id = $1", [
    a.inputId,
    a.turnId,
  ]);
  // Whoever hands out a turn has the ends of those before it, also when the host that gave them never heard so.
  await tx.query(
    "update turn set reported_at = clock_timestamp(), task_token = null where session_ulid = $1 and turn_id <> $2 and state = 'done' and reported_at is null",
    [a.sessionUlid, a.turnId],
  );
  // A workflow that continued as new, or that a chain started, tells its run here first.
  if (a.runId !== undefined)
    await tx.query("update generation set run_id = $3 where session_ulid = $1 and generation = $2 and run_id is distinct from $3", [
      a.sessionUlid,
      a.generation,
      a.runId,
    ]);
  await appendEvents(db, tx, a.sessionUlid, [
    { key: `input.accepted:${a.inputId}`, event: { type: "input.accepted", turnId: a.turnId, data: { inputId: a.inputId } } },
    { key: `turn.queued:${a.turnId}`, event: { type: "turn.queued", turnId: a.turnId, attempt: a.attempt, data: { inputId: a.inputId, n: made?.n ?? 1 } } },
  ]);
}
