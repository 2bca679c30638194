import type { Command, Kind, Plan, Timed } from "./plan.ts";

const at = (afterMs: number, what: Command): Timed<Command> => ({ afterMs, what });
const launch = (kind: Kind): Timed<Command> => at(0, { do: "launch", kind, twice: false });
const input = (afterMs: number, n: number, kind: Kind, delivery: "queue" | "interrupt" = "queue"): Timed<Command> =>
  at(afterMs, { do: "input", n, kind, delivery, keyed: false, twice: false });
const close = (afterMs: number): Timed<Command> => at(afterMs, { do: "close" });
const abort = (afterMs: number, dropQueue: boolean | null = null): Timed<Command> => at(afterMs, { do: "abort", dropQueue, keyed: false });
const plan = (seed: string, sessions: Timed<Command>[][], faults: Plan["faults"] = []): Plan => ({ seed, sessions, faults });

/** What random plans once showed, as small as it could be made, with some variations of the moment. They run first, in every run. */
export const corpus: Plan[] = [
  plan(
    "an input to a session that is closing wakes it",
    [300, 700, 1_200].map((ms) => [launch("wait"), close(ms), input(0, 1, "say"), input(100, 2, "say")]),
  ),
  plan(
    "what waited at a close runs in order when the session is woken",
    [300, 900].map((ms) => [
      launch("hang"),
      input(ms, 1, "say"),
      input(0, 2, "numbered"),
      input(0, 3, "say"),
      abort(100, false),
      close(0),
      at(0, { do: "settle" }),
      input(0, 4, "say"),
    ]),
  ),
  plan(
    "a second close takes back what came after the first",
    [300, 800, 1_100].map((ms) => [launch("hang"), close(ms), input(0, 1, "say"), close(0)]),
  ),
  plan(
    "a second close leaves alone what comes after it",
    [0, 200, 400, 700].map((ms) => [launch("numbered"), input(0, 1, "ask", "interrupt"), close(0), close(30), input(ms, 2, "numbered")]),
  ),
  plan(
    "an abort that names an input of a closing session ends it for good",
    [0, 300, 800].map((ms) => [launch("hang"), input(0, 1, "say"), close(ms), abort(0), input(0, 2, "say", "interrupt"), input(0, 3, "hang")]),
  ),
  plan("what is said twice is done once, and its key is refused for another", [
    [
      at(0, { do: "launch", kind: "wait", twice: true }),
      at(0, { do: "input", n: 1, kind: "say", delivery: "queue", keyed: true, twice: true }),
      at(0, { do: "again", of: 1 }),
      at(0, { do: "mismatch", of: 1 }),
      input(0, 2, "say"),
      abort(0, true),
    ],
  ]),
  plan(
    "a close takes with it the input whose turn no host has yet",
    [0, 200].map((ms) => [launch("say"), input(0, 1, "say"), close(ms)]),
    [{ afterMs: 0, early: true, what: { fault: "kill host", downMs: 1_500 } }],
  ),
  plan(
    "an abort that names a closing session's turn, which no host has yet, keeps it from the next generation",
    [0, 200].map((ms) => [launch("hang"), input(0, 1, "say"), close(ms), abort(0), input(0, 2, "say", "interrupt"), input(0, 3, "say")]),
    [{ afterMs: 0, early: true, what: { fault: "kill host", downMs: 1_500 } }],
  ),
  plan("an abort with dropQueue false keeps what waits", [[launch("hang"), input(600, 1, "say"), input(0, 2, "say"), abort(200, false)]]),
  plan(
    "a prompt is not sent again when the worker and then the agent end right behind it",
    [[launch("exit"), input(0, 1, "say")]],
    [{ afterMs: 0, early: true, what: { fault: "stop point", name: "prompt.told", hit: 1, action: "kill" } }],
  ),
  // What random plans meet too seldom to be sure of it in each run.
  plan(
    "a turn goes on in a next attempt when its runner is killed",
    [0, 1, 2].map(() => [launch("hang"), abort(6_000)]),
    [0, 1, 2].map((session) => ({ afterMs: session === 0 ? 2_000 : 0, what: { fault: "kill runner", session } })),
  ),
  plan(
    "a frozen host is refused, and what the database refuses is kept as a line",
    [
      [launch("numbered"), input(0, 1, "wait")],
      [launch("poison"), input(0, 1, "poison")],
    ],
    [{ afterMs: 0, what: { fault: "freeze host" } }],
  ),
];
