import { BatonError } from "../contracts/failures.ts";
import { type Database, txRow } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { expireApprovals } from "./expire-approvals.ts";
import { holds } from "./holds.ts";
import { postInbox } from "./hosts.ts";
import { seenBy, type Viewer } from "./reach.ts";
import type { ApprovalRow } from "./rows.ts";
import type { Tx } from "./store.ts";

/** What people are asked, and what they answered. */
export interface ApprovalStore {
  get(approvalId: string): Promise<ApprovalRow | null>;
  /** where it is in a list; null: there is none, or none that the viewer reaches */
  position(approvalId: string, reach?: Viewer): Promise<number | null>;
  /** newest first, behind `before` */
  list(filter: {
    sessionUlid?: string;
    chainId?: string;
    state?: string;
    before?: { position: number; approvalId: string };
    limit: number;
    reach?: Viewer;
  }): Promise<(ApprovalRow & { position: number })[]>;
  /** first answer wins (`applied`); writes `approval.resolved` and the inbox row `respond {approvalId, decision}` in the transaction */
  answer(tx: Tx, a: { approvalId: string; decision: string; by: string; actor: string; reason?: string }): Promise<{ row: ApprovalRow; applied: boolean }>;
  /** answered but not delivered, for a takeover */
  undelivered(sessionUlid: string): Promise<ApprovalRow[]>;
  delivered(approvalId: string): Promise<void>;
  /** open permissions whose deadline is over, to be denied then */
  overdue(): Promise<{ approvalId: string; deadline: string }[]>;
  /** the permissions that were given with `allow_always`, newest first, at most 500. `grantKey`: what is equal to the request */
  remembered(sessionUlid: string): Promise<{ approvalId: string; title: string; grantKey: string; by: string; at: string }[]>;
  /** gives the same request, asked again, the answer that was given to `former` */
  answerAgain(approvalId: string, former: ApprovalRow): Promise<void>;
  /** expires what the session's agents still ask, for an owner who knows that they are gone; questions about limits stay. Their ids */
  expireAgents(claim: { sessionUlid: string; epoch: number; owner: string }): Promise<string[]>;
}

/** The columns of an `ApprovalRow`. */
export const approvalColumns =
  "approval_id, session_ulid, chain_id, turn_id, kind, title, detail, options, request_key, state, decision, answered_by, actor, reason, asked_at, answered_at";

/** When it was asked: microseconds since 1970, as a place in a list that stays when the approval has gone. */
const position = "(extract(epoch from asked_at) * 1000000)::bigint";

/** What agents and chains wait for. */
export function approvalStore(db: Database): ApprovalStore {
  return {
    get: (approvalId) => db.row<ApprovalRow>(`select ${approvalColumns} from approval where approval_id = $1`, [approvalId]),
    async position(approvalId, reach) {
      const reached = reachedBy(reach, 2);
      const row = await db.row<{ position: number }>(`select ${position} as position from approval where approval_id = $1 and ${reached.sql}`, [
        approvalId,
        reached.value,
      ]);
      return row?.position ?? null;
    },
    list: (f) => {
      const reached = reachedBy(f.reach, 6);
      return db.rows<ApprovalRow & { position: number }>(
        `select ${approvalColumns}, ${position} as position from approval where ${reached.sql} and ($1::text is null or session_ulid = $1) and ($2::text is null or chain_id = $2) and ($3::text is null or state = $3)
        and ($5::bigint is null or (${position}, approval_id) < ($5, $7)) order by asked_at desc, approval_id desc limit $4`,
        [f.sessionUlid ?? null, f.chainId ?? null, f.state ?? null, f.limit, f.before?.position ?? null, reached.value, f.before?.approvalId ?? null],
      );
    },
    answer: (tx, a) => answer(db, tx, a),
    // an answer is given to the turn that asked, never to a later one
    undelivered: (sessionUlid) =>
      db.rows<ApprovalRow>(
        `select ${approvalColumns.replaceAll(/\w+/g, "a.$&")} from approval a where a.session_ulid = $1 and a.state = 'answered'
      and not exists (select 1 from turn t where t.session_ulid = a.session_ulid and t.turn_id = a.turn_id and t.state = 'done') order by a.answered_at`,
        [sessionUlid],
      ),
    async delivered(approvalId) {
      await db.rows("update approval set state = 'delivered' where approval_id = $1 and state = 'answered'", [approvalId]);
    },
    remembered: (sessionUlid) =>
      db.rows(
        `select approval_id, left(title, 200) as title, detail->>'grantKey' as grant_key, answered_by as by, answered_at as at from approval
      where session_ulid = $1 and kind = 'permission' and decision = 'allow_always' and detail->>'grantKey' is not null order by answered_at desc limit 500`,
        [sessionUlid],
      ),
    overdue: () =>
      db.rows(
        `select approval_id, detail->>'deadline' as deadline from approval where state = 'open' and kind = 'permission' and detail->>'onDeadline' = 'deny'
        and detail->>'deadline' <= to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') order by asked_at limit 100`,
      ),
    async answerAgain(approvalId, { decision, answeredBy, actor, reason }) {
      if (decision === null || answeredBy === null) return;
      await db.transaction((tx) =>
        answer(db, tx, { approvalId, decision, by: answeredBy, actor: actor ?? answeredBy, ...(reason === null ? {} : { reason }) }),
      );
    },
    expireAgents: (claim) =>
      db.transaction(async (tx) => {
        if (!holds(await lockHead(tx, claim.sessionUlid), claim)) return [];
        const expired = await expireApprovals(tx, claim.sessionUlid, null, "agent_ended", { ofTurns: true });
        if (expired.length > 0) await appendEvents(db, tx, claim.sessionUlid, expired);
        return expired.map(({ event }) => (event.data as { approvalId: string }).approvalId);
      }),
  };
}

/** A condition on approvals for what the viewer sees. A chain's own are seen with its executor. */
function reachedBy(reach: Viewer | undefined, parameter: number): ReturnType<typeof seenBy> {
  const { sql, value } = seenBy(reach, parameter);
  if (reach === undefined) return { sql, value };
  const session = "coalesce(session_ulid, (select c.executor_ulid from chain c where c.chain_id = approval.chain_id))";
  return { sql: `${session} in (select s.session_ulid from session s where ${sql})`, value };
}

type Answer = Parameters<ApprovalStore["answer"]>[1];

async function answer(db: Database, tx: Tx, a: Answer): Promise<{ row: ApprovalRow; applied: boolean }> {
  const asked = await txRow<ApprovalRow>(tx, `select ${approvalColumns} from approval where approval_id = $1`, [a.approvalId]);
  if (!asked) throw new BatonError("NOT_FOUND", `There is no approval ${a.approvalId}.`);
  // the head first, as everywhere: the end of the turn expires approvals under it
  if (asked.sessionUlid !== null) await lockHead(tx, asked.sessionUlid);
  const row = await txRow<ApprovalRow>(
    tx,
    `update approval set state = 'answered', decision = $2, answered_by = $3, actor = $4, reason = $5, answered_at = clock_timestamp()
    where approval_id = $1 and state = 'open' returning ${approvalColumns}`,
    [a.approvalId, a.decision, a.by, a.actor, a.reason ?? null],
  );
  if (!row) return { row: (await txRow<ApprovalRow>(tx, `select ${approvalColumns} from approval where approval_id = $1`, [a.approvalId]))!, applied: false };
  if (row.sessionUlid !== null) {
    await appendEvents(db, tx, row.sessionUlid, [
      {
        key: `approval.resolved:${row.approvalId}`,
        event: {
          type: "approval.resolved",
          data: { approvalId: row.approvalId, decision: a.decision, by: a.by, ...(a.reason === undefined ? {} : { reason: a.reason }) },
          ...(row.turnId === null ? {} : { turnId: row.turnId }),
        },
      },
    ]);
    const host = await txRow<{ hostId: string }>(tx, "select host_id from session where session_ulid = $1", [row.sessionUlid]);
    if (host)
      await postInbox(db, tx, {
        hostId: host.hostId,
        kind: "respond",
        sessionUlid: row.sessionUlid,
        body: { approvalId: row.approvalId, decision: a.decision },
      });
  }
  return { row, applied: true };
}
