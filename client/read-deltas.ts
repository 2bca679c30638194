import { pmStatus, sessionState } from "../contracts/session-status.ts";
import type { Delta } from "../contracts/event.ts";
import type { FactsRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { defaultBytes, fitting, mostBytes, sizeOf } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { longestWaitMs } from "./read-events.ts";
import { findSession, isUlid, notASession } from "./requests.ts";
import { withFacts } from "./session-view.ts";

export interface DeltasArgs {
  sessionUlid: string;
  sinceSeq?: number;
  waitMs?: number;
  /** after the first piece, wait so long for more: fewer answers for a model, 0 for a screen. Default 200 */
  gatherMs?: number;
  maxBytes?: number;
  limit?: number;
}
const gatherMs = 200;

/** Streaming text after a cursor of its own. Returns at the first piece (and what comes within `gatherMs`), at a change of status, with a full budget, or in time with an empty list. */
export async function liveDeltas(deps: Deps, args: DeltasArgs, signal?: AbortSignal): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const since = args.sinceSeq ?? 0;
  const budget = Math.min(args.maxBytes ?? defaultBytes, mostBytes);
  const limit = Math.min(args.limit ?? 1_000, 1_000);
  const read = (sessionUlid: string) => store.events.deltas(sessionUlid, { sinceSeq: since, limit });
  let [now, found] = await look(store, args.sessionUlid, since, read);
  if (found.length === 0 && args.waitMs) {
    const deadline = performance.now() + Math.min(args.waitMs, longestWaitMs);
    const before = stateOf(now);
    for (
      let left = deadline - performance.now();
      found.length === 0 && stateOf(now) === before && left > 0 && !signal?.aborted;
      left = deadline - performance.now()
    ) {
      // Also a new event wakes it: a status may have changed, and a caller wants to know. Deltas that are kept no more are no news.
      await store.feed.wait(now.sessionUlid, { seq: now.lastSeq, delta: Math.max(since, now.lastDelta) }, left, signal);
      [now, found] = await look(store, now.sessionUlid, since, read);
    }
    const gather = args.gatherMs ?? gatherMs;
    if (found.length > 0 && gather > 0 && sizeOf(found) < budget) {
      await new Promise((resolve) => setTimeout(resolve, gather));
      [now, found] = await look(store, now.sessionUlid, since, read);
    }
  }
  const shown = fitting(found, budget);
  const { kept } = shown;
  const truncated = shown.truncated || found.length === limit;
  const { state } = sessionState(withFacts(now).facts);
  // With nothing kept the next one is the oldest that there will be.
  const oldest = kept[0]?.seq ?? Math.max(since, now.lastDelta) + 1;
  const expired = args.sinceSeq !== undefined && oldest > since + 1;
  return {
    deltas: kept,
    nextSeq: kept.at(-1)?.seq ?? oldest - 1,
    status: pmStatus(state),
    state,
    done: now.closedAt !== null && !truncated,
    truncated,
    ...(expired ? { expired: true, firstSeq: oldest } : {}),
  };
}

const stateOf = (row: FactsRow): string => sessionState(withFacts(row).facts).state;

/** A ULID is asked for both at once; a name must be found first. What the session counts after the cursor is found, or kept no more. */
async function look(store: Store, reference: string, since: number, read: (sessionUlid: string) => Promise<Delta[]>): Promise<[FactsRow, Delta[]]> {
  const sessionUlid = isUlid(reference) ? reference.toUpperCase() : (await findSession(store, reference)).sessionUlid;
  const [row, found] = await Promise.all([store.facts.get(sessionUlid), read(sessionUlid)]);
  if (!row) throw await notASession(store, reference);
  if (row.purge) await findSession(store, sessionUlid);
  // They may have come between the two reads.
  return [row, found.length === 0 && row.lastDelta > since ? await read(sessionUlid) : found];
}
