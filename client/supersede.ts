import { BatonError } from "../contracts/failures.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store, Tx } from "../store/store.ts";
import { inputThere } from "./input-there.ts";
import type { LaunchPlan } from "./launch-plan.ts";

/**
 * Closes an idle session of the same (context, role, agent) in the launch's own transaction, so that the new one can take its place; a
 * launch that fails leaves it open. Returns it, or null when there is none. Error: CONFLICT_STATE when it runs, waits, or belongs to an
 * open chain.
 */
export async function supersedeIdle(store: Store, tx: Tx, plan: LaunchPlan): Promise<SessionRow | null> {
  const open = await store.sessions.openFor(tx, plan);
  if (!open) return null;
  if (!(await store.sessions.endIfIdle(tx, { sessionUlid: open.sessionUlid, generation: open.generation, reason: "superseded" })))
    throw busy(open, plan.prompt.firstPrompt);
  return open;
}

/** CONFLICT_STATE that names the session that is there, with an `input` of what the new one would have been asked. */
function busy(open: SessionRow, prompt: string): BatonError {
  return new BatonError(
    "CONFLICT_STATE",
    `${open.agentHandle} already works on ${open.contextRef} as ${open.role} in session ${open.sessionUlid}: send it an input, or close it first.`,
    {
      currentState: "RUNNING",
      next: [
        ...inputThere(open.sessionUlid, prompt, "let it do this, too"),
        { tool: "pm_session", args: { action: "close", sessionUlid: open.sessionUlid }, why: "end it, then launch again" },
      ],
    },
  );
}
