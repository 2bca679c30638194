import { BatonError } from "../contracts/failures.ts";
import type { Store, Tx } from "../store/store.ts";
import { WorkTaken } from "../store/work-taken.ts";
import { type Caller, viewerOf } from "./caller.ts";

/** Longest prompt that a refusal repeats. Characters. */
const longest = 4_000;

/** The ready `input` of a refusal; none without a prompt, or when it is too long to be said again. */
export const inputThere = (sessionUlid: string, prompt: string, why: string): { tool: string; args: Record<string, unknown>; why: string }[] =>
  prompt.length > longest || prompt.trim() === "" ? [] : [{ tool: "pm_session", args: { action: "input", sessionUlid, prompt }, why }];

/** Wakes a closed session for a prompt. Error: CONFLICT_STATE when another one has its work, with that one's name and a ready `input` if it is the caller's own. */
export async function wakeFor(store: Store, tx: Tx, caller: Caller, sessionUlid: string, prompt: string): ReturnType<Store["sessions"]["wake"]> {
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
