import { ulid } from "ulid";
import type { ChainQuestion, ChainAnswer } from "../contracts/messages.ts";
import { type Database, txRow } from "./database.ts";
import { approvalColumns } from "./approvals.ts";
import { appendEvents, lockHead } from "./events.ts";
import type { ApprovalRow } from "./rows.ts";
import type { Tx } from "./store.ts";

/** What chains ask people before they end: an approval in the log of the chain's executor, which a turn's end does not settle. */
export interface ChainQuestionStore {
  /** Asks, once per (chain, key). A turn that a used-up limit ended has been asked about by its session: that question's id. Null: the chain is over. */
  ask(question: ChainQuestion): Promise<{ approvalId: string } | null>;
  /** What was answered, which counts as heard from then on; null: nothing yet. */
  answer(approvalId: string): Promise<ChainAnswer | null>;
  /** Takes an open question back: what it was about has gone on without an answer. Returns the answer that came first. */
  withdraw(approvalId: string): Promise<ChainAnswer | null>;
  /** adds to the rounds that the chain was launched with */
  addRounds(tx: Tx, a: { chainId: string; rounds: number }): Promise<void>;
  /** answers older than this that open chains were not told of; `delivered` takes one out */
  unheard(minAgeMs: number): Promise<{ approvalId: string; workflowId: string }[]>;
  /** all that the chain or one of its sessions asks people now, oldest first */
  open(chainId: string): Promise<ApprovalRow[]>;
}

export function chainQuestionStore(db: Database): ChainQuestionStore {
  return {
    ask: (question) => db.transaction((tx) => ask(db, tx, question)),
    answer: (approvalId) => db.transaction((tx) => heard(tx, approvalId)),
    withdraw: (approvalId) => db.transaction((tx) => withdraw(db, tx, approvalId)),
    async addRounds(tx, a) {
      await tx.query("update chain set rounds_added = rounds_added + $2 where chain_id = $1", [a.chainId, a.rounds]);
    },
    unheard: (minAgeMs) =>
      db.rows(
        `select a.approval_id, c.workflow_id from approval a join session s on s.session_ulid = a.session_ulid join chain c on c.chain_id = s.chain_id
        where a.state = 'answered' and c.state = 'open' and a.kind in ('gate', 'rounds', 'budget')
        and a.answered_at < clock_timestamp() - $1 * interval '1 ms' order by a.answered_at limit 200`,
        [minAgeMs],
      ),
    open: (chainId) =>
      db.rows<ApprovalRow>(`select ${approvalColumns} from approval a where ${openIn("$1")} order by asked_at, approval_id limit 50`, [chainId]),
  };
}

/** Condition on `approval a`: it is open, and the chain's or one of its sessions'. */
export const openIn = (chainId: string): string =>
  `a.state = 'open' and (a.chain_id = ${chainId} or a.session_ulid in (select m.session_ulid from session m where m.chain_id = ${chainId}))`;

async function ask(db: Database, tx: Tx, { chainId, key, kind, end, turn }: ChainQuestion): Promise<{ approvalId: string } | null> {
  const found = await txRow<{ executorUlid: string }>(tx, "select executor_ulid from chain where chain_id = $1", [chainId]);
  if (!found) return null;
  const { executorUlid } = found;
  // The order of every writer: the head, then the chain's row. A second asker waits here and finds the first one's question.
  await lockHead(tx, executorUlid);
  const chain = await txRow<{ state: string; round: number }>(tx, "select state, round from chain where chain_id = $1 for update", [chainId]);
  if (chain?.state !== "open") return null;
  const budget = turn && (await txRow<{ approvalId: string }>(tx, budgetSelect, [turn.sessionUlid, turn.turnId]));
  if (budget) return budget;
  const asked = await txRow<{ approvalId: string }>(tx, "select approval_id from approval where chain_id = $1 and request_key = $2", [chainId, key]);
  if (asked) return asked;
  const approvalId = ulid();
  const [goOn, add] = kind === "rounds" ? ["Add rounds and go on", { rounds: 1 }] : ["Go on", null];
  await appendEvents(db, tx, executorUlid, [
    {
      key: `chain-question:${approvalId}`,
      event: {
        type: "approval.requested",
        data: {
          approvalId,
          kind,
          title: `${end.why}. ${goOn}, or end the chain as ${end.reason}?`,
          detail: { chainId, round: chain.round, why: end.why, ...turn },
          options: [
            { id: "allow", label: goOn, ...(add && { add }) },
            { id: "deny", label: `End the chain as ${end.reason}` },
          ],
          requestKey: key,
        },
      },
    },
  ]);
  await tx.query("update approval set chain_id = $2 where approval_id = $1", [approvalId, chainId]);
  return { approvalId };
}

/** The session's own question that holds the turn up, refused it, or was put when a limit had ended it. One that let it begin says nothing about its end. */
const budgetSelect = `select a.approval_id from approval a join turn t on t.session_ulid = a.session_ulid and t.turn_id = a.detail->>'turnId'
  where a.session_ulid = $1 and a.kind = 'budget' and t.turn_id = $2
  and (a.state = 'open' or a.decision = 'deny' or (t.result->>'outcome' = 'limit' and a.asked_at > t.prompt_sent_at))
  order by a.asked_at desc, a.approval_id desc limit 1`;

async function heard(tx: Tx, approvalId: string): Promise<ChainAnswer | null> {
  const row = await txRow<ApprovalRow & { maxRounds: number | null }>(
    tx,
    `select a.kind, a.state, a.decision, a.actor, a.answered_by, (c.config->>'maxRounds')::int + c.rounds_added as max_rounds
    from approval a left join chain c using (chain_id) where a.approval_id = $1 for update of a`,
    [approvalId],
  );
  if (row?.state === "open") return null;
  // Purged, or expired with its session: nobody will answer any more.
  if (!row || row.decision === null) return { decision: "deny", by: "nobody", budget: row?.kind === "budget", maxRounds: row?.maxRounds ?? 0 };
  await tx.query("update approval set state = 'delivered' where approval_id = $1 and state = 'answered'", [approvalId]);
  return {
    decision: row.decision === "allow" ? "allow" : "deny",
    by: row.actor ?? row.answeredBy ?? "somebody",
    budget: row.kind === "budget",
    maxRounds: row.maxRounds ?? 0,
  };
}

async function withdraw(db: Database, tx: Tx, approvalId: string): Promise<ChainAnswer | null> {
  const asked = await txRow<{ sessionUlid: string; kind: string }>(tx, "select session_ulid, kind from approval where approval_id = $1", [approvalId]);
  if (!asked) return null;
  // A session's own question about its limits stays: the limit does.
  if (asked.kind === "budget") return heard(tx, approvalId);
  await lockHead(tx, asked.sessionUlid);
  const gone = await txRow(tx, "update approval set state = 'expired', reason = 'superseded' where approval_id = $1 and state = 'open' returning approval_id", [
    approvalId,
  ]);
  if (!gone) {
    // Taken back already, by the activity before this one: nobody has answered.
    const row = await txRow<{ decision: string | null }>(tx, "select decision from approval where approval_id = $1", [approvalId]);
    return row?.decision == null ? null : heard(tx, approvalId);
  }
  await appendEvents(db, tx, asked.sessionUlid, [
    { key: `approval.expired:${approvalId}`, event: { type: "approval.expired", data: { approvalId, reason: "superseded" } } },
  ]);
  return null;
}
