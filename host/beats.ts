import { setTimeout as sleep } from "node:timers/promises";
import { ActivityCancelledError, ActivityNotFoundError } from "@temporalio/client";
import { WorkflowNotFoundError } from "@temporalio/client";
import type { HostDeps } from "./deps.ts";
import type { HeldTurn } from "./held-turn.ts";
import type { Keeper } from "./keeper.ts";

/** Beats for the turns that this keeper still owns, and learns from the answers: a user's abort, a token that is gone. */
export interface Beats {
  start(): void;
  stop(): void;
  poke(sessionUlid: string): Promise<void>;
}

const pokeDelays = [0, 5, 10, 20, 40, 80, 160, 320, 640, 725];

export function createBeats(deps: HostDeps, keeper: Keeper): Beats {
  let timer: NodeJS.Timeout | null = null;

  let asking = false;

  async function beatAll(): Promise<void> {
    const turns = [...keeper.held.values(), ...keeper.claimingAgain.values()];
    if (turns.length === 0) return;
    const mine = await stillOwned(turns);
    if (mine === null) return;
    await Promise.all(turns.map((held) => (mine.has(held) ? beat(held) : letGo(held))));
  }

  /** With Postgres away it beats anyway: an outage of the store must not look like a host's death. */
  async function stillOwned(turns: HeldTurn[]): Promise<Set<HeldTurn> | null> {
    // The last question hangs: another one would only take another connection.
    if (asking) return new Set(turns);
    asking = true;
    const from = performance.now();
    const question = deps.store.turns
      .owned(
        deps.owner,
        turns.map((held) => ({ sessionUlid: held.turn.sessionUlid, epoch: held.head.epoch })),
      )
      .finally(() => (asking = false));
    try {
      // A Postgres that is silent (frozen, cut off) is as away as one that refuses: no waiting until the beats are overdue.
      const owned = await Promise.race([question, sleep(deps.config.hostBeatMs, null)]);
      // It was us who were frozen: ask again before a beat in a successor's name.
      if (owned === null && performance.now() - from > 2 * deps.config.hostBeatMs) return null;
      if (owned === null) return new Set(turns);
      const keys = new Set(owned.map((row) => `${row.sessionUlid}:${row.epoch}`));
      return new Set(turns.filter((held) => keys.has(`${held.turn.sessionUlid}:${held.head.epoch}`)));
    } catch {
      return new Set(turns);
    }
  }

  async function letGo(held: HeldTurn): Promise<void> {
    held.drop.abort();
    held.connection?.detach();
  }

  async function beat(held: HeldTurn): Promise<void> {
    if (!held.turn.taskToken) return;
    try {
      await deps.completion.heartbeat(Buffer.from(held.turn.taskToken, "base64"));
      held.tokenGoneSince = null;
      held.workflowGoneSince = null;
    } catch (error) {
      if (error instanceof ActivityCancelledError) held.abort.abort();
      else if (error instanceof ActivityNotFoundError) await tokenGone(held);
    }
  }

  /** The agent goes on for a while: a next attempt may take it over. Only a workflow that is surely gone ends it. */
  async function tokenGone(held: HeldTurn): Promise<void> {
    held.tokenGoneSince ??= performance.now();
    if (performance.now() - held.tokenGoneSince < deps.config.tokenGraceMs) return;
    if (!(await workflowGone(held))) {
      held.workflowGoneSince = null;
      held.tokenGoneSince = performance.now() - deps.config.tokenGraceMs / 2;
      return;
    }
    // Two looks at a distance, and never a pause in here: all turns of the host wait for this beat.
    held.workflowGoneSince ??= performance.now();
    if (performance.now() - held.workflowGoneSince >= deps.config.tokenGraceMs / 2) held.abort.abort();
  }

  async function workflowGone(held: HeldTurn): Promise<boolean> {
    try {
      return (await deps.workflows.getHandle(held.session.workflowId).describe()).status.name !== "RUNNING";
    } catch (error) {
      return error instanceof WorkflowNotFoundError;
    }
  }

  return {
    start() {
      let busy = false;
      timer = setInterval(() => {
        if (busy) return;
        busy = true;
        void beatAll().finally(() => (busy = false));
      }, deps.config.hostBeatMs);
    },
    stop() {
      if (timer) clearInterval(timer);
    },
    /** A cancel reaches an activity only by a beat: beat at once, a few times, until Temporal says so. */
    async poke(sessionUlid) {
      for (const delay of pokeDelays) {
        await sleep(delay);
        const held = keeper.held.get(sessionUlid);
        if (!held || held.abort.signal.aborted) return;
        await beat(held);
      }
    },
  };
}
