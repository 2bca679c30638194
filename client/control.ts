import { BatonError } from "../contracts/failures.ts";
import type { Limits } from "../contracts/preset.ts";
import type { ApprovalRow, SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { actorOf, findSession, record, requestKey, storedAnswer } from "./requests.ts";
import { approvalView } from "./approval-view.ts";
import { answerChain, tellChain } from "./answer-chain.ts";
import { answerBudget } from "./raise-limits.ts";

export interface CloseArgs {
  sessionUlid: string;
  reason?: string;
  clientRequestId?: string;
  actor?: string;
}
export interface RespondArgs {
  approvalId: string;
  decision?: string;
  answers?: Record<string, string>;
  /** to a reached limit: how much more; `rounds`: of a chain */
  add?: { [limit in keyof Limits | "rounds"]?: number | undefined };
  reason?: string;
  clientRequestId?: string;
  actor?: string;
}

/** A type, not an interface: it must fit `Record<string, unknown>`. A key of an older Baton has no generation. */
type CloseIds = { sessionUlid: string; generation?: number };

/** Ends a session; a running turn is interrupted, the workspace stays. Idempotent. */
export async function close(deps: Deps, caller: Caller, args: CloseArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  const reason = args.reason ?? "closed by the caller";
  const { sessionUlid, generation } = row;
  const asked = { action: "close", args: { ...args }, target: sessionUlid };
  const { ids, replayed } = await record<CloseIds>(store, caller, asked, async () => ({ sessionUlid, generation }));
  let now = row;
  // A late repeat: an input has woken the session since, and that is not what was to be closed.
  if (replayed && (ids.generation ?? now.generation) !== now.generation) return closeAnswer(now, replayed);
  for (let closed = 0; now.closedAt === null && closed !== now.generation; now = await findSession(store, row.sessionUlid)) {
    closed = now.generation;
    const told = await deps.starter.signal(now.workflowId, "close", { reason });
    // No workflow: it never began, or is gone. Only the rows are left to close. Or it has just ended, and a late input woke the session: then its next generation is told.
    if (!told) {
      await store.sessions.end({ sessionUlid: now.sessionUlid, generation: now.generation, state: "closed", reason });
      // One that was being started just then, by somebody who saw it open.
      await deps.starter.signal(now.workflowId, "close", { reason });
    } else {
      // Only now: a close that Temporal never heard of closes nothing.
      await store.sessions.closing(now.sessionUlid, now.generation);
      await store.hosts.post(null, { hostId: now.hostId, kind: "poke", sessionUlid: now.sessionUlid, body: {} });
    }
  }
  return closeAnswer(now, replayed);
}

function closeAnswer({ sessionUlid, closedAt, failed }: SessionRow, replayed: boolean): Record<string, unknown> {
  return { sessionUlid, closing: closedAt === null, status: closedAt === null ? "RUNNING" : failed ? "FAILED" : "CLOSED", ...(replayed ? { replayed } : {}) };
}

const permissionDecisions = ["allow", "allow_always", "deny", "deny_stop"];

/** Answers an approval. The first answer wins; a later one gets the first's result with `applied: false`. */
export async function respond(deps: Deps, caller: Caller, args: RespondArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const found = await store.approvals.get(args.approvalId);
  // A key outlives the purge that took the approval.
  const repeated = found ? null : await storedAnswer<{ applied: boolean }>(store, requestKey(caller, "respond", { ...args }));
  if (repeated) return { approvalId: args.approvalId, ...repeated, purged: true, replayed: true };
  if (!found)
    throw new BatonError("NOT_FOUND", `There is no approval "${args.approvalId}".`, {
      field: "approvalId",
      next: [{ tool: "pm_session", args: { action: "approvals", state: "open" }, why: "the open ones" }],
    });
  const ofChain = found.kind === "budget" || found.chainId !== null;
  if (ofChain && found.state === "open") {
    const { applied, replayed } =
      found.kind === "budget" ? await answerBudget(deps, store, caller, args, found) : await answerChain(store, caller, args, found);
    await tellChain(deps, store, found);
    return answered(store, found, applied, replayed);
  }
  const answers = Object.values(args.answers ?? {});
  const decision = args.decision ?? (answers.length === 1 ? answers[0] : answers.length > 1 ? JSON.stringify(args.answers) : undefined);
  const allowed = found.kind === "permission" ? permissionDecisions : found.options.map((option) => option.id);
  if (decision === undefined || (found.kind === "permission" && !permissionDecisions.includes(decision))) {
    throw new BatonError("INVALID_ARGUMENT", `Give a decision for "${found.title}".`, {
      field: "decision",
      allowed,
      example: { action: "respond", approvalId: found.approvalId, decision: allowed[0] ?? "allow" },
    });
  }
  const { ids, replayed } = await record(store, caller, { action: "respond", args: { ...args }, target: found.approvalId }, async (tx) => {
    const { applied } = await store.approvals.answer(tx, {
      approvalId: found.approvalId,
      decision,
      by: caller.principal,
      actor: actorOf(caller, { ...args }),
      ...(args.reason ? { reason: args.reason } : {}),
    });
    return { applied };
  });
  // A repeat, because Temporal was away at the first time.
  if (ofChain) await tellChain(deps, store, found);
  return answered(store, found, ids.applied, replayed);
}

async function answered(store: Store, found: ApprovalRow, applied: boolean, replayed: boolean): Promise<Record<string, unknown>> {
  const now = (await store.approvals.get(found.approvalId)) ?? found;
  return { ...approvalView(now), applied, by: now.answeredBy, ...(replayed ? { replayed } : {}) };
}
