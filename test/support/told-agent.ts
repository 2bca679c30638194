/**
 * An ACP agent that says what it is told, as real ones were recorded to. argv: JSON `{turns}`; turn n plays `turns[n]`.
 * What it is answered to a request it says as a message, but to one with `unheard` it waits for no answer. A prompt without a `result` is never answered.
 */
import { createInterface } from "node:readline";

/** Session updates and whole requests, in order, and the answer to the prompt. */
export interface ToldTurn {
  says: Record<string, unknown>[];
  result?: Record<string, unknown>;
}

const { turns } = JSON.parse(process.argv[2] ?? "{}") as { turns: ToldTurn[] };
const waiting = new Map<unknown, (result: unknown) => void>();
const send = (message: object): void => void process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
const update = (said: object): void => send({ method: "session/update", params: { sessionId: "S", update: said } });
let turn = 0;

async function play({ says, result }: ToldTurn, id: unknown): Promise<void> {
  for (const one of says) {
    if (!("method" in one)) {
      update(one);
      continue;
    }
    const asked = { ...one, id: one["id"] ?? `ask-${turn}` };
    const answered = new Promise((resolve) => waiting.set(asked.id, resolve));
    send({ ...asked, params: { ...(one["params"] as object), sessionId: "S" } });
    if (result === undefined || one["unheard"] === true) continue;
    update({ sessionUpdate: "agent_message_chunk", content: { type: "text", text: JSON.stringify(await answered) } });
  }
  if (result !== undefined) send({ id, result });
}

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { id, method, result } = JSON.parse(line) as { id?: unknown; method?: string; result?: unknown };
    if (method === undefined) return waiting.get(id)?.(result);
    if (id === undefined) return;
    if (method === "initialize") return send({ id, result: { protocolVersion: 1, agentCapabilities: { sessionCapabilities: { resume: {} } } } });
    if (method !== "session/prompt") return send({ id, result: { sessionId: "S" } });
    void play(turns[turn++] ?? { says: [] }, id);
  })
  .on("close", () => process.exit(0));
