import { noUsage } from "../contracts/event.ts";
import type { TurnEnd } from "../contracts/provider.ts";
import { Fenced, type HostDeps } from "./deps.ts";
import { type HeldTurn, interrupted } from "./held-turn.ts";
import { isLimited } from "./watch-limits.ts";

/**
 * Lets a claimed turn begin only while its session's limits allow it; else it waits here, without a slot and without an agent, until somebody
 * has answered. The end of the turn when the answer is no, or it was aborted; null: it may begin. Throws Fenced.
 */
export async function awaitBudget(deps: HostDeps, held: HeldTurn): Promise<TurnEnd | null> {
  const { turn, session, head } = held;
  if (held.adopted || turn.attempt > 1) held.limitReached = await deps.store.limits.mark(turn.sessionUlid, turn.turnId);
  // It has begun: what it may use is looked at while it runs.
  if (turn.promptSentAt !== null || !isLimited(session)) return null;
  const over = AbortSignal.any([held.abort.signal, held.drop.signal]);
  for (;;) {
    const seq = (await deps.store.events.head(turn.sessionUlid))?.lastSeq ?? 0;
    const gate = await deps.store.limits.gate({ sessionUlid: turn.sessionUlid, turnId: turn.turnId, epoch: head.epoch, owner: deps.owner });
    if (gate === "go") return null;
    if (gate === "denied") return { outcome: "limit", stopReason: "budget_denied", usage: noUsage, finalMessage: "" };
    if (gate === "fenced" || held.drop.signal.aborted) throw new Fenced("budget");
    if (held.abort.signal.aborted) return interrupted();
    // Its own question is news, too: one look more.
    await deps.store.feed.wait(turn.sessionUlid, { seq }, 30_000, over);
  }
}
