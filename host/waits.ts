import type { TurnWaitRow } from "../store/turn-waits.ts";
import type { HostDeps } from "./deps.ts";
import type { HeldTurn } from "./held-turn.ts";
import type { Keeper } from "./keeper.ts";
import { pause, resume } from "./pause.ts";
import { watchRows } from "./watch-rows.ts";

/**
 * Agents that wait for sessions which they launched: their slots are free for those. A door says so in a row, asks there for the slot when the
 * wait is over, and answers the agent when it is written that the turn has it. A row whose door is gone ends the wait too.
 */
export function watchWaits(deps: HostDeps, keeper: Keeper): { stop(): void } {
  /** by wait: the turn that it paused */
  const paused = new Map<string, HeldTurn>();
  const ending = new Set<string>();

  async function lookOnce(): Promise<void> {
    const rows = await deps.store.waits.ofHost(deps.config.hostId);
    for (const row of rows) {
      if (row.state === "waiting" && row.fresh) begin(row);
      else if (row.state === "resuming" || !row.fresh) void end(row.waitId, row.fresh);
    }
    const there = new Set(rows.map((row) => row.waitId));
    for (const waitId of paused.keys()) if (!there.has(waitId)) void end(waitId, true);
  }

  /** Only a turn that is being followed has its slot: one that was just adopted is seen at the next look. */
  function begin(row: TurnWaitRow): void {
    const held = keeper.held.get(row.sessionUlid);
    if (!held?.hasSlot || held.turn.turnId !== row.turnId || held.connection === null) return;
    // Not by its id alone: after an error, or for a next attempt, this worker claims a turn again, and that one has not been paused.
    if (paused.get(row.waitId) === held) return;
    paused.set(row.waitId, held);
    pause(deps, held, row.waitId);
    expectSilence(held, true);
  }

  async function end(waitId: string, fresh: boolean): Promise<void> {
    if (ending.has(waitId)) return;
    ending.add(waitId);
    try {
      const held = paused.get(waitId);
      paused.delete(waitId);
      if (held && ![...paused.values()].includes(held)) expectSilence(held, false);
      if (held) await resume(deps, held, waitId, AbortSignal.any([held.abort.signal, held.drop.signal])).catch(() => undefined);
      if (fresh) await deps.store.waits.resumed(waitId);
      else await deps.store.waits.end(waitId);
    } catch (error) {
      deps.log.warn({ waitId, error: String(error) }, "an agent's wait could not be ended in its row; repeating");
    } finally {
      ending.delete(waitId);
    }
  }

  /** An hour without a word would be taken for a stall. Lost with the connection: then the runner forgets it too. */
  function expectSilence(held: HeldTurn, expected: boolean): void {
    void held.connection?.request({ cmd: "silence", expected }).catch(() => undefined);
  }

  return watchRows(deps, lookOnce);
}
