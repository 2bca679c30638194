import { BatonError } from "../contracts/failures.ts";
import { pmStatus, sessionState } from "../contracts/session-status.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { actorOf, findSession, record } from "./requests.ts";
import { approvalView, loadFacts } from "./session-view.ts";

export interface AbortArgs {
  sessionUlid: string;
  reason?: string;
  dropQueue?: boolean;
  clientRequestId?: string;
  actor?: string;
}
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
  reason?: string;
  clientRequestId?: string;
  actor?: string;
}

/** Interrupts the turn that runs now, or is about to, and only that one. Nothing running: `aborted: false`. The session stays usable. */
export async function abort(deps: Deps, caller: Caller, args: AbortArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  // Read before the transaction: one that waits for a second connection could starve the pool.
  const { facts: before, pending } = await loadFacts(store, row);
  // A turn that no host has taken yet (its workspace is being made, its host is away) is known by the input that opens it.
  const running = before.turn && before.turn.state !== "done" ? before.turn.turnId : row.closedAt === null ? (pending[0]?.inputId ?? null) : null;
  const { ids } = await record(store, caller, { action: "abort", args: { ...args }, target: row.sessionUlid }, async () => ({ turnId: running }));
  if (ids.turnId !== null) {
    // Names the turn: a late repeat must not hit the next one.
    const told = await deps.starter.signal(row.workflowId, "abort", {
      turnId: ids.turnId,
      ...(args.reason ? { reason: args.reason } : {}),
      // `false` is an answer too: the workflow drops what waits unless it is told not to.
      ...(args.dropQueue === undefined ? {} : { dropQueue: args.dropQueue }),
    });
    // Its workflow has just ended: the input waits for the session's next generation, which must not run it.
    if (!told)
      await store.inputs.fail(row.sessionUlid, args.dropQueue === false ? [ids.turnId] : [ids.turnId, ...pending.map((input) => input.inputId)], "aborted");
    // After the Signal, so that the beat it causes can learn of the cancel.
    await store.hosts.post(null, { hostId: row.hostId, kind: "poke", sessionUlid: row.sessionUlid, body: { turnId: ids.turnId } });
  }
  const { facts } = await loadFacts(store, await findSession(store, row.sessionUlid));
  return {
    sessionUlid: row.sessionUlid,
    aborted: ids.turnId !== null,
    ...(ids.turnId === null ? {} : { turnId: ids.turnId }),
    status: pmStatus(sessionState(facts).state),
  };
}

/** Ends a session; a running turn is interrupted, the workspace stays. Idempotent. */
export async function close(deps: Deps, caller: Caller, args: CloseArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  const reason = args.reason ?? "closed by the caller";
  await record(store, caller, { action: "close", args: { ...args }, target: row.sessionUlid }, async () => ({ sessionUlid: row.sessionUlid }));
  let now = row;
  for (let closed = 0; now.closedAt === null && closed !== now.generation; now = await findSession(store, row.sessionUlid)) {
    closed = now.generation;
    const told = await deps.starter.signal(now.workflowId, "close", { reason });
    // No workflow: it never began, or is gone. Only the rows are left to close. Or it has just ended, and a late input woke the session: then its next generation is told.
    if (!told) await store.sessions.end({ sessionUlid: now.sessionUlid, generation: now.generation, state: "closed", reason });
    else await store.hosts.post(null, { hostId: now.hostId, kind: "poke", sessionUlid: now.sessionUlid, body: {} });
  }
  return { sessionUlid: row.sessionUlid, closing: now.closedAt === null, status: now.closedAt === null ? "RUNNING" : now.failed ? "FAILED" : "CLOSED" };
}

const permissionDecisions = ["allow", "allow_always", "deny", "deny_stop"];

/** Answers an approval. The first answer wins; a later one gets the first's result with `applied: false`. */
export async function respond(deps: Deps, caller: Caller, args: RespondArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const found = await store.approvals.get(args.approvalId);
  if (!found)
    throw new BatonError("NOT_FOUND", `There is no approval "${args.approvalId}".`, {
      field: "approvalId",
      next: [{ tool: "pm_session", args: { action: "approvals", state: "open" }, why: "the open ones" }],
    });
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
  const { ids } = await record(store, caller, { action: "respond", args: { ...args }, target: found.approvalId }, async (tx) => {
    const { applied } = await store.approvals.answer(tx, {
      approvalId: found.approvalId,
      decision,
      by: caller.principal,
      actor: actorOf(caller, { ...args }),
      ...(args.reason ? { reason: args.reason } : {}),
    });
    return { applied };
  });
  const now = (await store.approvals.get(found.approvalId)) ?? found;
  return { ...approvalView(now), applied: ids.applied, by: now.answeredBy };
}
