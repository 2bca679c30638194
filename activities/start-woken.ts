import type { SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";

export interface Waker {
  store: Store;
  /** starts the session's current generation; may be repeated */
  startSession(row: SessionRow): Promise<void>;
}

/**
 * Starts the generation that an input has woken. Read, not returned by whoever woke it: the repeat of an activity that died in between starts it too.
 * While the session's chain is open it is left to the chain's end: the close that a chain sends to its sessions would be handed on to it.
 */
export async function startWoken({ store, startSession }: Waker, sessionUlid: string): Promise<void> {
  const row = await store.sessions.get(sessionUlid);
  if (!row || row.generation === 1 || row.closedAt !== null || row.startedAt !== null) return;
  if (row.chainId !== null && (await store.chains.get(row.chainId))?.state === "open") return;
  await startSession(row);
}
