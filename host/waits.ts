import type { TurnWaitRow } from "../store/turn-waits.ts";
import type { HostDeps } from "./deps.ts";
import type { HeldTurn } from "./held-turn.ts";
import type { Keeper } from "./keeper.ts";
import { pause, resume } from "./pause.ts";
import { watchRows } from "./watch-rows.ts";
import { isAtWork } from "./work.ts";

/**
 * Agents that wait for sessions which they launched: their slots are free for those, as long as one of those has something to do and the agent
 * itself does nothing. A door says so in a row, asks there for the slot when the wait is over, and answers the agent when it is written that the
 * turn has it. A row whose door is gone ends the wait too.
 */
export function watchWaits(deps: HostDeps, keeper: Keeper): { stop(): void } {
  /** by wait: the turn whose agent waits */
  const waits = new Map<string, HeldTurn>();
  const ending = new Set<string>();
  /** whose runners were told that silence is no stall */
  const quiet = new WeakSet<HeldTurn>();

  async function lookOnce(): Promise<void> {
    const rows = await deps.store.waits.ofHost(deps.config.hostId);
    for (const row of rows) {
      if (row.state === "waiting" && row.fresh) look(row);
      else if (row.state === "resuming" || !row.fresh) void end(row.waitId, row.fresh);
    }
    const there = new Set(rows.map((row) => row.waitId));
    for (const waitId of waits.keys()) if (!there.has(waitId)) void end(waitId, true);
  }

  /** Only a turn that is being followed has its slot: one that was just adopted is seen at the next look. After an error, or for a next attempt, this worker claims a turn again: that one has not been paused. */
  function look({ waitId, sessionUlid, turnId, below }: TurnWaitRow): void {
    const held = keeper.held.get(sessionUlid);
    if (!held || held.turn.turnId !== turnId || held.connection === null) return;
    waits.set(waitId, held);
    expectSilence(held, below);
    held.work.unbelieved = isAtWork(held.work);
    if (!below || held.work.unbelieved) return void goOn(held, waitId);
    held.work.waitsSince ??= Date.now();
    pause(deps, held, waitId);
  }

  async function end(waitId: string, fresh: boolean): Promise<void> {
    if (ending.has(waitId)) return;
    ending.add(waitId);
    try {
      const held = waits.get(waitId);
      waits.delete(waitId);
      if (held && ![...waits.values()].includes(held)) {
        expectSilence(held, false);
        held.work.unbelieved = false;
      }
      if (held) await goOn(held, waitId);
      if (fresh) await deps.store.waits.resumed(waitId);
      else await deps.store.waits.end(waitId);
    } catch (error) {
      deps.log.warn({ waitId, error: String(error) }, "an agent's wait could not be ended in its row; repeating");
    } finally {
      ending.delete(waitId);
    }
  }

  /** Resolves when its turn has a slot again, waits for something else, or is over. */
  async function goOn(held: HeldTurn, waitId: string): Promise<void> {
    const resumed = resume(deps, held, waitId, AbortSignal.any([held.abort.signal, held.drop.signal]));
    if (![...waits].some(([id, one]) => one === held && held.waiting.has(id))) held.work.waitsSince = null;
    await resumed.catch(() => undefined);
  }

  /** An hour without a word would be taken for a stall. Lost with the connection: then the runner forgets it too. */
  function expectSilence(held: HeldTurn, expected: boolean): void {
    if (quiet.has(held) === expected) return;
    if (expected) quiet.add(held);
    else quiet.delete(held);
    void held.connection?.request({ cmd: "silence", expected }).catch(() => undefined);
  }

  return watchRows(deps, lookOnce);
}
