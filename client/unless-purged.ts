import { BatonError } from "../contracts/failures.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { findAnySession, requestKey, storedAnswer } from "./requests.ts";

/**
 * A key outlives the session that it was used on: the repeat of a call on a purged one gets the ids that were stored, with `purgedAt`.
 * Anything else on a purged session stays the refusal that `work` gives.
 */
export function unlessPurged<A extends { sessionUlid?: string }, T>(
  deps: Deps,
  action: string,
  work: (deps: Deps, caller: Caller, args: A) => Promise<T>,
  answer: (data: Record<string, unknown>) => T,
): (caller: Caller, args: A) => Promise<T> {
  return async (caller, args) => {
    try {
      return await work(deps, caller, args);
    } catch (error) {
      if (!(error instanceof BatonError) || error.detail.currentState !== "purged" || args.sessionUlid === undefined) throw error;
      const store = await deps.getStore();
      const ids = await storedAnswer(store, requestKey(caller, action, { ...args }));
      if (!ids) throw error;
      const { sessionUlid, purge, purgedAt } = await findAnySession(store, args.sessionUlid);
      return answer({ sessionUlid, ...ids, purgedAt: purgedAt ?? purge?.at, replayed: true });
    }
  };
}
