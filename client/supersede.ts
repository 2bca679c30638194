import { BatonError } from "../contracts/failures.ts";
import { sessionState } from "../contracts/session-status.ts";
import type { SessionRow } from "../store/rows.ts";
import type { RequestKey, Store } from "../store/store.ts";
import type { Deps } from "./deps.ts";
import type { LaunchPlan } from "./launch-plan.ts";
import { loadFacts } from "./session-view.ts";

/**
 * Closes an idle session of the same (context, role, agent) so that the new one can take its place, and gives the base to start at:
 * the old one's last candidate. Errors: CONFLICT_STATE when it runs, waits, or belongs to an open chain.
 */
export async function supersedeIdle(deps: Deps, store: Store, plan: LaunchPlan, key: RequestKey): Promise<{ baseRef: string }> {
  const open = await store.transaction((tx) => store.sessions.openFor(tx, plan));
  // Our own: another call with the same key won meanwhile, and recordRequest will say so.
  if (!open || (key.key !== null && open.clientRequestId === key.key && open.principal === key.principal)) return { baseRef: plan.baseRef };
  const { facts, pending } = await loadFacts(store, open);
  const chain = open.chainId ? await store.chains.get(open.chainId) : null;
  if (sessionState(facts).state !== "idle" || pending.length > 0 || chain?.state === "open") throw busy(open);
  await store.sessions.end({ sessionUlid: open.sessionUlid, generation: open.generation, state: "closed", reason: "superseded" });
  // The workflow ends itself; its own `endSession` finds the work done.
  await deps.starter.signal(open.workflowId, "close", { reason: "superseded" }).catch(() => false);
  return { baseRef: open.candidate?.commit ?? plan.baseRef };
}

/** CONFLICT_STATE that names the session that is there, with a ready `input`. */
export function busy(open: SessionRow): BatonError {
  return new BatonError(
    "CONFLICT_STATE",
    `${open.agentHandle} already works on ${open.contextRef} as ${open.role} in session ${open.sessionUlid}: send it an input, or close it first.`,
    {
      currentState: "RUNNING",
      next: [
        { tool: "pm_session", args: { action: "input", sessionUlid: open.sessionUlid, prompt: "…" }, why: "give it more to do" },
        { tool: "pm_session", args: { action: "close", sessionUlid: open.sessionUlid }, why: "end it, then launch again" },
      ],
    },
  );
}
