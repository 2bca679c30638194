import { type ReachedLimit, reachedLimit } from "../contracts/limits.ts";
import type { Usage } from "../contracts/event.ts";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import type { Allowance } from "../store/limits.ts";
import type { SessionRow } from "../store/rows.ts";
import { Fenced, type HostDeps } from "./deps.ts";
import type { HeldTurn } from "./held-turn.ts";
import type { TailRecord } from "./spool-tail.ts";

/** Looks at a running turn's limits. */
export interface LimitWatch {
  /** the agent gave a sign of itself, and maybe said what it has used */
  heard(records: TailRecord[]): void;
  /** the agent gave a sign of itself that nobody could write down yet: while Postgres is away it works on */
  alive(): void;
  end(): void;
}

/** Was any limit set for the session? An answer raises a limit that was set, and brings no new one (session_limits in store/migrations). */
export const isLimited = (session: SessionRow): boolean => Object.keys((session.args["effective"] as EffectiveLaunch).limits ?? {}).length > 0;
const unlimited = (held: HeldTurn): Allowance => ({ limits: {}, used: { wallSeconds: 0, turns: 0, tokens: 0, costMicros: 0 }, agentMs: held.turn.agentMs });

const lookMs = 500;
/** How much of the agent's time a takeover may forget. */
const keepMs = 5_000;

/** Watches the turn from now on: `stop` is called once, after what was reached is written down. Counts the agent's own time in `held.agentMs`. */
export async function watchLimits(deps: HostDeps, held: HeldTurn, stop: () => void): Promise<LimitWatch> {
  const { sessionUlid, turnId } = held.turn;
  const { limits, used, agentMs } = isLimited(held.session) ? await deps.store.limits.allowance(sessionUlid, turnId) : unlimited(held);
  const turnMs = (held.input.configuration?.maxRuntimeSeconds ?? Infinity) * 1_000;
  held.agentMs = Math.max(held.agentMs, agentMs);
  let kept = held.agentMs;
  let last = performance.now();
  let lastHeard = last;
  let reported: Partial<Usage> = {};
  let telling = false;

  /** Its slot may be somebody else's still when it works on. */
  const counts = (): boolean => held.hasSlot || (held.work.unbelieved && held.waiting.size === 0);

  function look(): ReachedLimit | null {
    if (held.agentMs >= turnMs) return { limit: "wallSeconds", used: Math.floor(held.agentMs / 1_000), allowed: turnMs / 1_000, turnOnly: true };
    const idle = Math.floor((performance.now() - lastHeard) / 1_000);
    if (limits.idleSeconds !== undefined && idle >= limits.idleSeconds) return { limit: "idleSeconds", used: idle, allowed: limits.idleSeconds };
    const { inputTokens = 0, outputTokens = 0, costMicros = 0 } = reported;
    // The turns are counted before one starts.
    const { turns: _turns, ...running } = limits;
    return reachedLimit(running, {
      turns: 0,
      wallSeconds: used.wallSeconds + held.agentMs / 1_000,
      tokens: used.tokens + inputTokens + outputTokens,
      costMicros: used.costMicros + costMicros,
    });
  }

  /** Written down first: a next owner must know that it was a limit, not a user, that ended the turn. */
  async function tell(reached: ReachedLimit): Promise<void> {
    telling = true;
    try {
      if (!(await deps.store.limits.reached({ sessionUlid, turnId, epoch: held.head.epoch, owner: deps.owner }, reached))) throw new Fenced("limit");
      held.limitReached = reached;
      stop();
    } catch (error) {
      // Looked at again: with Postgres away nothing can be written, and a limit is not that urgent.
      deps.log.warn({ sessionUlid, turnId, error: String(error) }, "a reached limit could not be recorded");
    } finally {
      telling = false;
    }
  }

  function check(): void {
    if (telling || held.limitReached || held.abort.signal.aborted) return;
    const reached = look();
    if (reached) void tell(reached);
  }

  const timer = setInterval(() => {
    const now = performance.now();
    if (counts()) held.agentMs += now - last;
    else lastHeard = now; // it waits, and has nothing to say
    last = now;
    if ((limits.wallSeconds !== undefined || turnMs < Infinity) && held.agentMs - kept >= keepMs) {
      kept = held.agentMs;
      deps.store.limits.count(sessionUlid, turnId, kept).catch(() => undefined);
    }
    check();
  }, lookMs);
  return {
    alive() {
      lastHeard = performance.now();
    },
    heard(records) {
      lastHeard = performance.now();
      for (const record of records)
        if (record.kind === "event" && record.event.type === "usage.reported") reported = { ...reported, ...(record.event.data as Partial<Usage>) };
      check();
    },
    end() {
      clearInterval(timer);
      if (counts()) held.agentMs += performance.now() - last;
    },
  };
}
