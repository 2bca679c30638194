import { BatonError } from "../contracts/failures.ts";
import type { ApprovalRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { RespondArgs } from "./control.ts";
import type { Deps } from "./deps.ts";
import { actorOf, record } from "./requests.ts";

/** Rounds that one answer adds at most, and when it does not say how many. */
const mostRounds = 20;
const someRounds = 1;

/**
 * Answers what a chain asks before it ends: `allow` lets it go on (`rounds`: with `add.rounds` more), `deny` ends it.
 * Errors: INVALID_ARGUMENT for any other answer.
 */
export async function answerChain(store: Store, caller: Caller, args: RespondArgs, asked: ApprovalRow): Promise<{ applied: boolean; replayed: boolean }> {
  const { approvalId, kind, title, chainId } = asked;
  const decision = args.decision ?? "";
  if (!["allow", "deny"].includes(decision))
    throw new BatonError("INVALID_ARGUMENT", `"${decision}" does not answer "${title}".`, {
      field: "decision",
      allowed: ["allow", "deny"],
      example: { action: "respond", approvalId, decision: "allow", ...(kind === "rounds" ? { add: { rounds: someRounds } } : {}) },
    });
  const { rounds, ...others } = args.add ?? {};
  const meant = kind === "rounds" && decision === "allow" ? { field: "add.rounds", allowed: mostRounds } : { field: "add", allowed: [] };
  if (Object.keys(others).length > 0 || (rounds !== undefined && (meant.field === "add" || rounds > mostRounds)))
    throw new BatonError(
      "INVALID_ARGUMENT",
      `The answer to "${title}" takes ${meant.field === "add" ? "no add" : `add.rounds, at most ${mostRounds}`}.`,
      meant,
    );
  const { ids, replayed } = await record(store, caller, { action: "respond", args: { ...args }, target: approvalId }, async (tx) => {
    const { applied } = await store.approvals.answer(tx, {
      approvalId,
      decision,
      by: caller.principal,
      actor: actorOf(caller, { ...args }),
      ...(args.reason ? { reason: args.reason } : {}),
    });
    if (applied && kind === "rounds" && decision === "allow" && chainId !== null)
      await store.chainQuestions.addRounds(tx, { chainId, rounds: rounds ?? someRounds });
    return { applied };
  });
  return { applied: ids.applied, replayed };
}

/** A hint to the chain that may wait for the answer: its own question's, or that about a limit of one of its sessions. The sweeper repeats one that was lost. */
export async function tellChain(deps: Pick<Deps, "starter">, store: Store, { approvalId, chainId, sessionUlid }: ApprovalRow): Promise<void> {
  const asking = chainId ?? (sessionUlid === null ? null : ((await store.sessions.get(sessionUlid))?.chainId ?? null));
  const chain = asking === null ? null : await store.chains.get(asking);
  if (chain?.state === "open") await deps.starter.signal(chain.workflowId, "answered", { approvalId });
}
