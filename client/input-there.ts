import { BatonError } from "../contracts/failures.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store, Tx } from "../store/store.ts";
import { WorkTaken } from "../store/work-taken.ts";
import { countWoken, countWork } from "./agent-launch.ts";
import { type Caller, viewerOf } from "./caller.ts";
import type { Deps } from "./deps.ts";

/** Longest prompt that a refusal repeats. Characters. */
const longest = 4_000;

/** The ready `input` of a refusal; none without a prompt, or when it is too long to be said again. */
export const inputThere = (sessionUlid: string, prompt: string, why: string): { tool: string; args: Record<string, unknown>; why: string }[] =>
  prompt.length > longest || prompt.trim() === "" ? [] : [{ tool: "pm_session", args: { action: "input", sessionUlid, prompt }, why }];

/** Wakes a closed session for a prompt; of an agent's prompt the tree's budget and the open sessions are counted. Errors: LIMIT_EXCEEDED; CONFLICT_STATE when another one has its work, with that one's name and a ready `input` if it is the caller's own. */
export async function wakeFor(deps: Deps, store: Store, tx: Tx, caller: Caller, sessionUlid: string, prompt: string): Promise<SessionRow | null> {
  await countWork(store, tx, caller, sessionUlid);
  const woken = await wake(store, tx, caller, sessionUlid, prompt);
  if (woken) await countWoken(deps, store, tx, caller, woken);
  return woken;
}

async function wake(store: Store, tx: Tx, caller: Caller, sessionUlid: string, prompt: string): Promise<SessionRow | null> {
  try {
    return await store.sessions.wake(tx, sessionUlid);
  } catch (error) {
    if (!(error instanceof WorkTaken) || !error.by) throw error;
    const viewer = viewerOf(caller);
    if (viewer && !(await store.reach.rules(tx, viewer, error.by.sessionUlid))) throw error;
    const { by } = error;
    throw new BatonError("CONFLICT_STATE", `${error.message} Send the input there: session ${by.sessionUlid} (${by.name}).`, {
      ...error.detail,
      next: inputThere(by.sessionUlid, prompt, "it has the work"),
    });
  }
}
