import type { Deps } from "./deps.ts";
import { wait, type WaitArgs } from "./wait.ts";
import { withoutSlot } from "./yield-slot.ts";

/** `wait`, and for an agent that has to wait for sessions which it launched without the slot of its turn: they may need it. */
export async function agentWait(deps: Deps, args: WaitArgs, signal?: AbortSignal): Promise<Record<string, unknown>> {
  const session = args.reach && "session" in args.reach ? args.reach.session : null;
  if (session === null) return wait(deps, args, signal);
  // What happens between the two is news to the second.
  const { begun = {} } = args;
  const now = await wait(deps, { ...args, waitMs: 0, begun }, signal);
  if (now["met"] === true || args.waitMs === 0) return now;
  return withoutSlot(deps, session, signal, (until) => wait(deps, { ...args, begun }, until));
}
