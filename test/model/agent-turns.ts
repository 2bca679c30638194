import type { Command, Kind, Timed } from "./plan.ts";

interface Asked {
  n: number;
  kind: Kind;
  overtakes: boolean;
}
const inputs = (commands: Timed<Command>[]): Asked[] =>
  commands.flatMap(({ what }) => {
    if (what.do === "launch") return [{ n: 0, kind: what.kind, overtakes: false }];
    return what.do === "input" ? [{ n: what.n, kind: what.kind, overtakes: what.delivery === "interrupt" }] : [];
  });

/** The words by which the scripted agent knows the nth input. */
export const promptOf = (n: number, kind: Kind): string => `Do #${n}. (${kind})`;

/**
 * The scenario for a session's inputs, whatever order they come in. The agent only looks ahead in its list, so the list is
 * repeated: once for each input that may overtake others, and for agents that are started again.
 */
export function scenarioOf(commands: Timed<Command>[]): { turns: { on: string; steps: unknown[] }[] } {
  const all = inputs(commands);
  const rounds = 4 + all.filter((one) => one.overtakes).length;
  return { turns: Array.from({ length: rounds }, () => all.map(({ n, kind }) => ({ on: `#${n}.`, steps: steps(n, kind) }))).flat() };
}

function steps(n: number, kind: Kind): unknown[] {
  switch (kind) {
    case "say":
      return [{ say: `said ${n}` }];
    case "numbered":
      return [{ numbered: { count: 12, everyMs: 40 } }];
    case "wait":
      return [{ say: "one moment" }, { wait: 300 }, { say: `waited ${n}` }];
    case "hang":
      return [{ say: "for ever" }, "hang"];
    case "ask":
      return [{ ask: { title: `may I ${n}`, onDeny: [{ say: "denied" }] } }, { say: `asked ${n}` }];
    case "poison":
      return [{ plan: { entries: [{ text: "what the database refuses", status: "pending" }] } }, { numbered: { count: 3, everyMs: 10 } }];
    case "exit":
      return [{ say: "bye" }, { exit: 3 }];
  }
}
