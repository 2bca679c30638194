import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import type { LimitName } from "../contracts/limits.ts";
import type { Limits } from "../contracts/preset.ts";
import type { ApprovalRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { RespondArgs } from "./control.ts";
import type { Deps } from "./deps.ts";
import { deliver } from "./input.ts";
import { actorOf, record } from "./requests.ts";

/** A type, not an interface: it must fit `Record<string, unknown>`. */
type Raised = { applied: boolean; inputId: string | null };

/**
 * Answers what a reached limit asked: `allow` adds to the limits, and the work goes on: the input that waits, else with a "Continue."
 * Errors: INVALID_ARGUMENT for an `allow` that adds nothing to the limit that was reached; PERMISSION_DENIED for an agent.
 */
export async function answerBudget(
  deps: Deps,
  store: Store,
  caller: Caller,
  args: RespondArgs,
  asked: ApprovalRow,
): Promise<{ applied: boolean; replayed: boolean }> {
  if (caller.session !== undefined)
    throw new BatonError("PERMISSION_DENIED", "A used-up budget is for people to raise, not for an agent.", { field: "approvalId" });
  const decision = args.decision ?? "";
  const { sessionUlid } = asked;
  if (sessionUlid === null || !["allow", "deny"].includes(decision))
    throw new BatonError("INVALID_ARGUMENT", `"${decision}" does not answer "${asked.title}".`, { field: "decision", allowed: ["allow", "deny"] });
  if (decision === "allow") checkAdd(asked, added(args));
  const { ids, replayed } = await record<Raised>(store, caller, { action: "respond", args: { ...args }, target: asked.approvalId }, async (tx) => {
    const actor = actorOf(caller, { ...args });
    const reason = args.reason ? { reason: args.reason } : {};
    const { applied } = await store.approvals.answer(tx, { approvalId: asked.approvalId, decision, by: caller.principal, actor, ...reason });
    if (!applied || decision !== "allow") return { applied, inputId: null };
    const { nothingWaits } = await store.limits.raise(tx, { approvalId: asked.approvalId, sessionUlid, add: added(args) });
    if (!nothingWaits) return { applied, inputId: null };
    const inputId = ulid();
    const limit = deps.options.inputQueue;
    await store.inputs.insert(tx, {
      inputId,
      sessionUlid,
      prompt: "Continue.",
      delivery: "queue",
      source: actor,
      requestId: `budget:${asked.approvalId}`,
      limit,
    });
    return { applied, inputId };
  });
  if (ids.inputId !== null) await deliver(deps, store, ids.inputId);
  return { applied: ids.applied, replayed };
}

/** `rounds` is a chain's, not a session's. */
function added({ add }: RespondArgs): Limits {
  return Object.fromEntries(Object.entries(add ?? {}).filter(([name, value]) => name !== "rounds" && value !== undefined));
}

/** An answer that leaves the limit where it is would be asked for again at once. A silence has no sum: trying once more is enough. */
function checkAdd(asked: ApprovalRow, add: Limits): void {
  const { limit, allowed } = asked.detail as { limit: LimitName; allowed: number };
  if (limit === "idleSeconds" || (add[limit] ?? 0) > 0) return;
  throw new BatonError("INVALID_ARGUMENT", `"allow" needs add.${limit}: how much more than ${allowed} it may use.`, {
    field: "add",
    example: { action: "respond", approvalId: asked.approvalId, decision: "allow", add: { [limit]: allowed } },
  });
}
