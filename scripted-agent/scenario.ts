/** One thing the scripted agent does. */
export type Step =
  | { do: "say"; text: string }
  | { do: "think"; text: string }
  | { do: "plan"; entries: { text: string; status: string }[] }
  | { do: "edit"; path: string; content?: string; append?: string }
  | { do: "run"; command: string }
  | { do: "ask"; title: string; kind?: string; input?: unknown; options?: { optionId: string; name: string; kind: string }[]; onDeny?: Step[] }
  | { do: "wait"; ms: number }
  | { do: "flood"; count: number; bytes?: number }
  | { do: "numbered"; count: number; everyMs: number }
  | { do: "raw"; line: string }
  | { do: "error"; message: string; code?: number }
  | { do: "hang" }
  | { do: "exit"; code: number }
  | { do: "ignoreSignals"; children?: number }
  /** a tool of the MCP server that the conversation came with; says the answer. `times`: again and again, `{{n}}` counts from 1 */
  | { do: "call"; tool: string; args: Record<string, unknown>; times?: number }
  | { do: "verdict"; decision: string; score: number; summary: string; findings: unknown[] };

export interface Turn {
  on?: string;
  steps: Step[];
}
export interface Scenario {
  turns: Turn[];
  /** how old conversations are offered: `resume` (no replay, the default), `load` (with a replay) or not at all */
  resume?: "resume" | "load" | "none";
  /** what MCP servers it takes: over HTTP (the default), or stdio only */
  mcp?: "http" | "stdio";
  /** of each prompt; default: counted from the text */
  usage?: { inputTokens: number; outputTokens: number; costMicros: number };
}

const names = ["say", "think", "plan", "edit", "run", "ask", "wait", "flood", "numbered", "raw", "error", "hang", "exit", "ignoreSignals", "verdict", "call"];

/**
 * Reads a scenario. A step is written `{"say": "text"}`, `{"say": {"text": "…"}}`, `{"do": "say", "text": "…"}` or
 * `{"type": "say", …}`; a turn is a list of steps or `{on?, steps}`.
 * Errors: an Error that names the step.
 */
export function parseScenario(text: string): Scenario {
  const given = JSON.parse(text) as { turns?: unknown[] } & Omit<Scenario, "turns">;
  if (!Array.isArray(given.turns) || given.turns.length === 0) throw new Error("a scenario needs `turns`, a list that is not empty");
  const turns = given.turns.map((turn): Turn => {
    if (Array.isArray(turn)) return { steps: turn.map(parseStep) };
    const { on, steps } = turn as { on?: string; steps?: unknown[] };
    if (!Array.isArray(steps)) throw new Error(`a turn needs \`steps\`: ${JSON.stringify(turn)}`);
    return { ...(on === undefined ? {} : { on }), steps: steps.map(parseStep) };
  });
  return { ...given, turns };
}

const main: Record<string, string> = {
  say: "text",
  think: "text",
  run: "command",
  wait: "ms",
  raw: "line",
  exit: "code",
  ask: "title",
  plan: "entries",
  error: "message",
};

function parseStep(given: unknown): Step {
  if (given === "hang" || given === "ignoreSignals") return { do: given };
  const step = typeof given === "object" && given !== null ? (given as Record<string, unknown>) : {};
  const named = typeof step["do"] === "string" ? step["do"] : typeof step["type"] === "string" ? step["type"] : undefined;
  const name = named ?? Object.keys(step).find((key) => names.includes(key));
  if (name === undefined || !names.includes(name)) throw new Error(`unknown step ${JSON.stringify(given)}; known: ${names.join(", ")}`);
  const value = named === undefined ? step[name] : undefined;
  const { type: _type, ...rest } = step;
  const inner = typeof value === "object" && value !== null && !Array.isArray(value) ? value : {};
  const short = main[name] !== undefined && value !== undefined && inner !== value ? { [main[name]]: value } : {};
  if (named === undefined) delete rest[name];
  const made = { ...rest, ...inner, ...short, do: name } as unknown as Step;
  if (made.do === "ask" && made.onDeny) made.onDeny = made.onDeny.map(parseStep);
  return made;
}

/** The turn to play: the first from `place` on whose `on` is a part of the prompt, else the one at `place`; the last repeats. */
export function chooseTurn(scenario: Scenario, place: number, prompt: string): number {
  const from = Math.min(place, scenario.turns.length - 1);
  const match = scenario.turns.findIndex((turn, index) => index >= from && turn.on !== undefined && prompt.includes(turn.on));
  return match === -1 ? from : match;
}
