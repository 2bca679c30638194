import type { Store } from "../store/store.ts";
import { tell } from "./input.ts";
import { repeatedly } from "./repeatedly.ts";
import type { Starter } from "./start-workflow.ts";

const minute = 60_000;
const hour = 60 * minute;

/**
 * Finishes what a door that died left: starts rows between 1 min and 1 h old that are not started, fails older ones,
 * signals inputs and answers that no workflow was told of, and closes whose session was superseded or purged. Run by the engine worker; several at once do no harm.
 * Returns a function that stops it and resolves when the current pass is over.
 */
export function startSweeper(store: Store, start: Starter, options: { everyMs?: number; onError?: (error: unknown) => void } = {}): () => Promise<void> {
  return repeatedly(options.everyMs ?? 30_000, () => sweepOnce(store, start, options.onError));
}

/** One pass. A failure of one row does not keep the others waiting. `minAgeMs` is for tests. */
export async function sweepOnce(store: Store, start: Starter, onError: (error: unknown) => void = () => {}, minAgeMs: number = minute): Promise<void> {
  const attempt = async (body: () => Promise<unknown>) => {
    try {
      await body();
    } catch (error) {
      onError(error);
    }
  };
  await attempt(async () => {
    for (const chain of await store.chains.unstarted(minAgeMs, hour)) await attempt(() => start.chain(chain));
  });
  await attempt(async () => {
    // The first generation of a chain's session is the chain's own child.
    for (const row of await store.sessions.unstarted(minAgeMs, hour)) if (row.chainId === null || row.generation > 1) await attempt(() => start.session(row));
  });
  await attempt(async () => {
    for (const sessionUlid of await store.sessions.failNeverStarted(hour)) await attempt(() => endNeverStarted(store, sessionUlid));
  });
  await attempt(async () => {
    for (const row of await store.sessions.superseded(hour))
      await attempt(() => start.signal(row.workflowId, "close", { reason: row.closeReason ?? "superseded" }));
  });
  await attempt(async () => {
    for (const { workflowId, approvalId } of await store.chainQuestions.unheard(minAgeMs / 6))
      await attempt(async () => {
        // Temporal keeps what it took.
        if (await start.signal(workflowId, "answered", { approvalId })) await store.approvals.delivered(approvalId);
      });
  });
  await attempt(async () => {
    for (const input of await store.inputs.unsignalled(minAgeMs / 6)) {
      await attempt(async () => {
        const row = await store.sessions.get(input.sessionUlid);
        if (row && row.closedAt === null) await tell(start, store, input, row);
      });
    }
  });
}

/** A chain whose executor never began has nobody who would ever end it. */
async function endNeverStarted(store: Store, executorUlid: string): Promise<void> {
  const chainId = (await store.sessions.get(executorUlid))?.chainId;
  const chain = chainId ? await store.chains.get(chainId) : null;
  if (chain?.state === "open" && chain.executorUlid === executorUlid && chain.startedAt === null)
    await store.chains.finish(chain.chainId, "failed", "never_started");
}
