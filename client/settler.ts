import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import { sessionState } from "../contracts/session-status.ts";
import type { ApprovalRow, ChainRow } from "../store/rows.ts";
import type { SettleWatch } from "../store/settle-watches.ts";
import type { Store } from "../store/store.ts";
import type { Deps } from "./deps.ts";
import { deliver, refuseSleep } from "./input.ts";
import { repeatedly } from "./repeatedly.ts";
import { loadFacts, type SessionWithFacts } from "./session-view.ts";
import { settledText } from "./settled-text.ts";

type Parts = Pick<Deps, "starter"> & { store: Store; inputQueue: number; onError?: (error: unknown) => void };

/**
 * Tells sessions that asked for it (`onSettled`) what became of those they launched: one input each time a child is idle, closed, failed or
 * needs somebody. Run by the engine worker; several at once do no harm, and a kill anywhere costs nothing: the request's key makes it once.
 */
export function startSettler(parts: Parts, everyMs = 1_000): () => Promise<void> {
  return repeatedly(everyMs, () => settleOnce(parts));
}

async function settleOnce(parts: Parts): Promise<void> {
  const { store, onError = () => {} } = parts;
  try {
    for (const watch of await store.settles.changed(100)) await settle(parts, watch).catch(onError);
  } catch (error) {
    onError(error);
  }
}

async function settle(parts: Parts, watch: SettleWatch): Promise<void> {
  const { store } = parts;
  // The rows first: what happens behind them is news again, and seen at the next look.
  const found = await loadFacts(store, watch);
  const chain = watch.chainId === null ? null : await store.chains.get(watch.chainId);
  const asked = chain ? await store.chainQuestions.open(chain.chainId) : [];
  const key = chain ? chainKey(chain, asked) : sessionKey(found);
  if (key !== null && key !== watch.lastKey) await tell(parts, watch, key, found, chain);
  await store.settles.seen(watch.sessionUlid, found.row.lastSeq, key);
}

/** What a session has settled as; null: it works. A close after the turn that was told of is no news. */
function sessionKey({ row, facts }: SessionWithFacts): string | null {
  const { state } = sessionState(facts);
  const open = facts.approvals.at(-1);
  if (state === "failed") return `failed:${row.generation}`;
  if (open && row.closedAt === null) return `approval:${open.approvalId}`;
  if (state !== "idle" && state !== "closed") return null;
  if (row.lastDone) return `turn:${row.lastDone.turnId}`;
  return state === "closed" ? `closed:${row.generation}` : null;
}

function chainKey(chain: ChainRow, asked: ApprovalRow[]): string | null {
  if (chain.state === "ended") return `chain:${chain.chainId}`;
  const open = asked.at(-1)?.approvalId;
  return open === undefined ? null : `approval:${open}`;
}

/** A type, not an interface: it must fit `Record<string, unknown>`. */
type Told = { inputId: string };

async function tell(parts: Parts, watch: SettleWatch, key: string, found: SessionWithFacts, chain: ChainRow | null): Promise<void> {
  const { store } = parts;
  const parent = await store.sessions.get(watch.parentUlid);
  if (!parent || parent.purge) return;
  try {
    await refuseSleep(store, parent);
    const { ids } = await store.recordRequest<Told>(
      { principal: "baton", scope: "settled", key: `${watch.sessionUlid}/${key}`, fingerprint: "settled.1" },
      { principal: "baton", actor: "baton", action: "settled", target: parent.sessionUlid, detail: { from: watch.sessionUlid, key } },
      async (tx) => {
        await store.sessions.wake(tx, parent.sessionUlid);
        const inputId = ulid();
        const source = `session:${watch.sessionUlid}`;
        const prompt = settledText(found, chain);
        const limit = parts.inputQueue;
        await store.inputs.insert(tx, { inputId, sessionUlid: parent.sessionUlid, prompt, delivery: "queue", source, requestId: `settled:${key}`, limit });
        return { inputId };
      },
    );
    await deliver(parts, store, ids.inputId);
  } catch (error) {
    // Later: a full queue gets shorter. Anything else that is refused stays so, and the child's record says that nobody was told.
    if (!(error instanceof BatonError) || error.detail.retryable || error.code === "QUEUE_FULL" || error.code === "INTERNAL") throw error;
    const message = `${parent.name} could not be told that this session has settled (${error.code}): ${error.message}`;
    await store.events.append(watch.sessionUlid, [{ key: `settled-untold:${key}`, event: { type: "notice.raised", data: { message } } }]);
  }
}
