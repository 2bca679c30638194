import type { Store } from "../store/store.ts";
import { repeatedly } from "./repeatedly.ts";

/**
 * Denies the permissions whose deadline passed while nobody answered, in Baton's own name. Run by the engine worker; several at once do no harm:
 * the first answer wins, here too. Returns a function that stops it and resolves when the current pass is over.
 */
export function startDeadlines(store: Store, options: { everyMs?: number; onError: (error: unknown) => void }): () => Promise<void> {
  return repeatedly(options.everyMs ?? 1_000, async () => {
    try {
      for (const late of await store.approvals.overdue()) await deny(store, late).catch(options.onError);
    } catch (error) {
      options.onError(error);
    }
  });
}

async function deny(store: Store, { approvalId, deadline }: { approvalId: string; deadline: string }): Promise<void> {
  const answer = { approvalId, decision: "deny", by: "baton", actor: "deadline", reason: `nobody answered until ${deadline}` };
  await store.transaction((tx) => store.approvals.answer(tx, answer));
}
