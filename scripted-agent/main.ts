/** A real agent over ACP that plays a scenario instead of asking a model: for tests, demos and fault drills. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { homeFiles } from "./home-files.ts";
import type { Place } from "./home-files.ts";
import { type GivenServer, type Tools, tools } from "./mcp.ts";
import { play } from "./play.ts";
import { chooseTurn, parseScenario } from "./scenario.ts";
import { wire } from "./wire.ts";

const env = process.env;
const scenario = parseScenario(
  env["BATON_SCENARIO"] ??
    (env["BATON_SCENARIO_FILE"] === undefined ? '{"turns":[[{"say":"Nothing to do."}]]}' : readFileSync(env["BATON_SCENARIO_FILE"], "utf8")),
);
const home = homeFiles(env["HOME"] ?? process.cwd());
const sessions = new Map<string, { cwd: string; tools: Tools; cancel: AbortController | null; cancelled?: () => void }>();
let deaf = false;

home.log("start");
for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
  process.on(name, () => {
    home.log(`signal ${name}`);
    if (!deaf) {
      home.log(`exit by ${name}`);
      process.exit(128 + { SIGTERM: 15, SIGINT: 2, SIGHUP: 1 }[name]);
    }
  });

const connection = wire({
  log: home.log,
  request,
  notification(method, params) {
    if (method !== "session/cancel") return;
    home.log("cancel");
    const session = sessions.get(String(params["sessionId"]));
    if (session?.cancel) session.cancelled?.();
    session?.cancel?.abort();
  },
  end() {
    home.log("stdin end");
    if (!deaf) {
      home.log("exit by stdin end");
      process.exit(0);
    }
  },
});

async function request(method: string, params: Record<string, unknown>): Promise<unknown> {
  const sessionId = String(params["sessionId"] ?? "");
  switch (method) {
    case "initialize": {
      const resume = scenario.resume ?? "resume";
      return {
        protocolVersion: 1,
        agentInfo: { name: "scripted", version: "1" },
        agentCapabilities: {
          mcpCapabilities: { http: scenario.mcp !== "stdio" },
          loadSession: resume !== "none",
          sessionCapabilities: resume === "resume" ? { resume: {} } : {},
        },
      };
    }
    case "session/new": {
      const made = randomUUID();
      sessions.set(made, conversation(params));
      home.keep(made, { turn: 0, playing: null, step: 0, done: 0, cost: 0, cancelled: null });
      return { sessionId: made };
    }
    case "session/load":
    case "session/resume": {
      const place = home.place(sessionId);
      if (!place) throw Object.assign(new Error(`session not found: ${sessionId}`), { code: -32602 });
      sessions.set(sessionId, conversation(params));
      home.log(`${method} turn ${place.turn} step ${place.step} done ${place.done}`);
      if (method === "session/load")
        for (let n = 0; n < place.turn; n++) {
          await connection.update(sessionId, { sessionUpdate: "user_message_chunk", content: { type: "text", text: `prompt ${n}` } });
          await connection.update(sessionId, { sessionUpdate: "agent_message_chunk", content: { type: "text", text: `old answer ${n}` } });
        }
      return {};
    }
    case "session/prompt":
      return prompt(sessionId, (params["prompt"] as { text?: string }[]).map((part) => part.text ?? "").join("\n"));
    default:
      throw Object.assign(new Error(`${method} is not known`), { code: -32601 });
  }
}

const conversation = (params: Record<string, unknown>): { cwd: string; tools: Tools; cancel: null } => ({
  cwd: String(params["cwd"]),
  tools: tools((params["mcpServers"] ?? []) as GivenServer[]),
  cancel: null,
});

const usageUpdate = (place: Place): Record<string, unknown> => ({
  sessionUpdate: "usage_update",
  used: 1_000,
  size: 128_000,
  cost: { amount: place.cost / 1_000_000, currency: "USD" },
});

async function prompt(sessionId: string, text: string): Promise<unknown> {
  const session = sessions.get(sessionId);
  const place = home.place(sessionId);
  if (!session || !place) throw Object.assign(new Error(`session not found: ${sessionId}`), { code: -32602 });
  const cancel = new AbortController();
  session.cancel = cancel;
  const keep = (): void => home.keep(sessionId, place);
  // Kept at once: a hanging turn ends with the process, and the next prompt must not meet it again.
  session.cancelled = () => {
    place.cancelled = text;
    keep();
  };
  // A turn that a former process left in the middle goes on where it stood; one that was cancelled only for the same prompt.
  if (place.cancelled !== null && place.cancelled !== text) Object.assign(place, { turn: (place.playing ?? place.turn) + 1, playing: null });
  // So does one that names its prompt: for any other it was given up while no process was there to be told.
  const abandoned = place.playing === null ? undefined : scenario.turns[place.playing]?.on;
  if (abandoned !== undefined && !text.includes(abandoned)) Object.assign(place, { turn: (place.playing ?? place.turn) + 1, playing: null });
  place.cancelled = null;
  const playing = place.playing ?? chooseTurn(scenario, place.turn, text);
  if (place.playing === null) Object.assign(place, { playing, turn: playing, step: 0, done: 0 });
  keep();
  home.log(`prompt turn ${playing} from step ${place.step}`);
  const steps = scenario.turns[playing]?.steps ?? [];
  let said = "";
  let stopReason = "end_turn";
  try {
    for (let index = place.step; index < steps.length; index++) {
      if (index !== place.step) Object.assign(place, { step: index, done: 0 });
      keep();
      const step = steps[index];
      if (
        step &&
        (await play(
          {
            wire: connection,
            home,
            sessionId,
            cwd: session.cwd,
            tools: session.tools,
            place,
            cancel: cancel.signal,
            said: (more) => {
              said += more;
            },
            ignoreSignals: () => {
              deaf = true;
            },
            keep,
          },
          step,
          index,
        )) === "stop"
      )
        break;
    }
  } catch (error) {
    if (!cancel.signal.aborted) {
      Object.assign(place, { turn: playing + 1, playing: null, step: 0, done: 0 });
      keep();
      throw error;
    }
    stopReason = "cancelled";
  }
  if (stopReason === "cancelled") {
    session.cancel = null;
    return { stopReason, usage: { inputTokens: 0, outputTokens: 0, totalTokens: 0 } };
  }
  const usage = scenario.usage ?? { inputTokens: 100 + Math.ceil(text.length / 4), outputTokens: 10 + Math.ceil(said.length / 4), costMicros: 1_000 };
  Object.assign(place, { turn: playing + 1, playing: null, step: 0, done: 0, cost: place.cost + usage.costMicros });
  keep();
  session.cancel = null;
  await connection.update(sessionId, usageUpdate(place));
  return {
    stopReason,
    usage: { inputTokens: usage.inputTokens, outputTokens: usage.outputTokens, totalTokens: usage.inputTokens + usage.outputTokens, cachedReadTokens: 0 },
  };
}
