import { stopPoints } from "../faults/support/stop-points.ts";

/** What the agent does with an input: `hang` never ends by itself, `poison` says something that Postgres refuses, `exit` ends the agent's process. */
export type Kind = "say" | "numbered" | "wait" | "hang" | "ask" | "poison" | "exit";
export type Delivery = "queue" | "interrupt";

export type Command =
  | { do: "launch"; kind: Kind; twice: boolean }
  /** `n`: the session's nth input, the launch has 0; `twice`: the same request from two callers at once */
  | { do: "input"; n: number; kind: Kind; delivery: Delivery; keyed: boolean; twice: boolean }
  /** a keyed request of this session once more, letter by letter */
  | { do: "again"; of: number }
  /** the key of an earlier input with other words */
  | { do: "mismatch"; of: number }
  | { do: "abort"; dropQueue: boolean | null; keyed: boolean }
  | { do: "close" }
  | { do: "respond"; decision: "allow" | "deny" }
  /** waits until the session has nothing more to do by itself */
  | { do: "settle" };

export type Fault =
  | { fault: "kill host"; downMs: number }
  | { fault: "kill engine"; downMs: number }
  /** stopped until another host worker has taken over, then let go on */
  | { fault: "freeze host" }
  /** another host worker stands by when this one is killed */
  | { fault: "two hosts"; aliveMs: number }
  /** a host worker that is killed, or loses the answer, at its nth passing of a stop point */
  | { fault: "stop point"; name: string; hit: number; action: "kill" | "swallow" }
  | { fault: "kill runner"; session: number };

export interface Timed<T> {
  afterMs: number;
  what: T;
}
/** Everything that one seed (or an entry of the corpus) says: per session its commands one after the other, and beside them the faults. */
export interface Plan {
  seed: number | string;
  sessions: Timed<Command>[][];
  /** `afterMs`: from a moment at which a turn runs; `early`: from the beginning */
  faults: (Timed<Fault> & { early?: true })[];
}

/** The same plan for the same seed, on every machine. */
export function planOf(seed: number): Plan {
  const draw = drawer(seed);
  const sessions = Array.from({ length: 2 + draw.below(2) }, () => sessionPlan(draw));
  const faults = Array.from(
    {
      length: draw.weighted([
        [1, 0],
        [3, 1],
        [1, 2],
      ]),
    },
    () => ({ afterMs: draw.below(400), what: fault(draw, sessions.length) }),
  );
  return { seed, sessions, faults };
}

function sessionPlan(draw: Drawer): Timed<Command>[] {
  const commands: Timed<Command>[] = [{ afterMs: draw.below(300), what: { do: "launch", kind: kind(draw), twice: draw.chance(0.3) } }];
  const count = 3 + draw.below(4);
  for (let n = 1; commands.length <= count;) {
    const command = nextCommand(draw, n);
    if (command.do === "input") n += 1;
    commands.push({ afterMs: draw.chance(0.5) ? draw.below(40) : draw.below(600), what: command });
  }
  return commands;
}

function nextCommand(draw: Drawer, n: number): Command {
  const of = draw.below(8);
  return draw.weighted<Command>([
    [10, { do: "input", n, kind: kind(draw), delivery: draw.chance(0.3) ? "interrupt" : "queue", keyed: draw.chance(0.6), twice: draw.chance(0.2) }],
    [2, { do: "again", of }],
    [1.5, { do: "mismatch", of }],
    [
      3,
      {
        do: "abort",
        dropQueue: draw.weighted<boolean | null>([
          [2, null],
          [1, true],
          [2, false],
        ]),
        keyed: draw.chance(0.5),
      },
    ],
    [2.5, { do: "close" }],
    [2, { do: "respond", decision: draw.chance(0.7) ? "allow" : "deny" }],
    [2, { do: "settle" }],
  ]);
}

const kind = (draw: Drawer): Kind =>
  draw.weighted<Kind>([
    [4, "say"],
    [5, "numbered"],
    [3, "wait"],
    [2, "hang"],
    [2, "ask"],
    [1.5, "poison"],
    [1, "exit"],
  ]);

function fault(draw: Drawer, sessions: number): Fault {
  return draw.weighted<Fault>([
    [4, { fault: "kill host", downMs: draw.below(500) }],
    [2, { fault: "kill engine", downMs: draw.below(300) }],
    [2, { fault: "freeze host" }],
    [2, { fault: "two hosts", aliveMs: draw.below(600) }],
    [3, { fault: "stop point", name: draw.one(stopPoints), hit: 1 + draw.below(3), action: draw.chance(0.5) ? "kill" : "swallow" }],
    [3, { fault: "kill runner", session: draw.below(sessions) }],
  ]);
}

interface Drawer {
  /** a whole number from 0, below `limit` */
  below(limit: number): number;
  chance(probability: number): boolean;
  one<T>(items: readonly T[]): T;
  weighted<T>(items: readonly (readonly [number, T])[]): T;
}

/** Mulberry32: small, and good enough to choose by. */
function drawer(seed: number): Drawer {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    below,
    chance: (probability) => next() < probability,
    one: (items) => items[below(items.length)]!,
    weighted(items) {
      let at = next() * items.reduce((sum, [weight]) => sum + weight, 0);
      return (items.find(([weight]) => (at -= weight) < 0) ?? items.at(-1)!)[1];
    },
  };
}
