/** An ACP agent that misbehaves. argv: what it does when it starts for the first time in a session (`well`: nothing), and a directory for its memory. */
import { appendFileSync, closeSync, existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { answered, deeds } from "../hostile/deeds.ts";

const [atStart = "well", memory = "."] = process.argv.slice(2);
const mine = join(memory, process.env["BATON_SESSION"] ?? "none");
const first = !existsSync(mine);
const log = (text: string): void => appendFileSync(mine, text + "\n");
log(`start ${process.pid}`);

process.stdout.on("error", () => undefined);
const write = (bytes: string | Buffer): void => void process.stdout.write(bytes);
const send = (message: object): void => write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
const long = "v".repeat(1 << 20);
const nonsense: Record<string, Record<string, unknown>> = {
  "other-version": { initialize: { protocolVersion: 99 } },
  "long-version": { initialize: { protocolVersion: long } },
  "no-version": { initialize: [] },
  "number-session": { "session/new": { sessionId: 7 } },
  "long-session": { "session/new": { sessionId: long } },
  "nul-session": { "session/new": { sessionId: "a\0b\ud800" } },
  "long-name": { initialize: { protocolVersion: 1, agentInfo: { name: long, version: long } } },
};

if (first && atStart === "crash") process.exit(3);
if (first && atStart === "killed") process.kill(process.pid, "SIGKILL");
if (first && atStart === "garbage") write("\ufeffWelcome to the agent!\n\0\0\n[1,2\n\n   \n");
if (first && atStart === "close-stdout") closeSync(1);
if (first && atStart === "deaf") for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(name, () => log(name));
if (first && atStart === "flood") void deeds["flood-garbage"]?.({} as never, 0);

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { id, method, params, ...answer } = JSON.parse(line) as {
      id?: number;
      method?: string;
      params?: { sessionId?: string; prompt?: { text: string }[] };
    };
    if (method === undefined) {
      log(`answer ${id} ${JSON.stringify(answer)}`);
      answered(String(id), answer);
    } else if (method === "session/cancel") log("cancel");
    else if (id !== undefined) void request(id, method, params ?? {});
  })
  .on("close", () => (first && atStart === "deaf" ? setInterval(() => undefined, 60_000) : process.exit(0)));

async function request(id: number, method: string, params: { sessionId?: string; prompt?: { text: string }[] }): Promise<void> {
  if (first && atStart === "deaf") return;
  const said = first ? nonsense[atStart]?.[method] : undefined;
  if (first && atStart === "refuse") return send({ id, error: "no" });
  if (said !== undefined) return send({ id, result: said });
  if (method === "initialize") return send({ id, result: { protocolVersion: 1, agentCapabilities: { sessionCapabilities: { resume: {} } } } });
  if (method === "session/new") return send({ id, result: { sessionId: `conversation-${process.pid}` } });
  if (method !== "session/prompt") return send({ id, result: {} });
  const sessionId = params.sessionId ?? "";
  // What comes before it is the role's own prompt.
  const prompt = params.prompt?.at(-1)?.text ?? "";
  const [name = "", argument] = prompt.split(" ");
  const deed = deeds[name];
  log(`prompt ${prompt.slice(0, 40)}`);
  const update = (body: object, of = sessionId): void => send({ method: "session/update", params: { sessionId: of, update: body } });
  const end = (result: unknown = { stopReason: "end_turn", usage: { inputTokens: 1, outputTokens: 1, totalTokens: 2 } }): void => send({ id, result });
  if (deed) {
    if ((await deed({ sessionId, id, write, send, update, end }, Number(argument))) !== "open") end();
    return log(`done ${prompt}`);
  }
  update({ sessionUpdate: "agent_message_chunk", content: { type: "text", text: `good: ${prompt}` } });
  end();
}
