/**
 * Plays a recorded ACP conversation as an agent. The first prompt ever gets the recorded answer damaged by `damage`, every
 * later one the recorded answer as it was. argv: recording, seed, a file that remembers that the first prompt was.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { damage } from "../hostile/damage.ts";

const [recording = "", seed = "0", memory = ""] = process.argv.slice(2);
const lines = readFileSync(recording, "utf8").trimEnd().split("\n");

/** What the agent wrote from the first request of this method on, up to and with its answer; `id` is the request's. */
function answerOf(method: string): { id: unknown; lines: string[] } | null {
  const from = lines.findIndex((line) => line.startsWith(">>> ") && (JSON.parse(line.slice(4)) as { method?: string }).method === method);
  if (from === -1) return null;
  const { id } = JSON.parse(lines[from]?.slice(4) ?? "") as { id: unknown };
  const said = lines.slice(from + 1).filter((line) => !line.startsWith(">>> "));
  const end = said.findIndex((line) => {
    const message = JSON.parse(line) as { id?: unknown; method?: string };
    return message.id === id && message.method === undefined;
  });
  return { id, lines: said.slice(0, end + 1) };
}

process.stdout.on("error", () => undefined);
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const { id, method } = JSON.parse(line) as { id?: number; method?: string };
    if (id === undefined || method === undefined) return;
    const known = answerOf(method);
    if (!known) return void process.stdout.write(`{"jsonrpc":"2.0","id":${id},"result":{}}\n`);
    // Only the answer is given the id that is asked for: the agent's own requests have theirs.
    const answer = JSON.stringify({ ...(JSON.parse(known.lines.at(-1) ?? "{}") as object), id });
    const bytes = Buffer.from([...known.lines.slice(0, -1), answer].join("\n") + "\n");
    if (method !== "session/prompt" || existsSync(memory)) return void process.stdout.write(bytes);
    writeFileSync(memory, "");
    process.stdout.write(damage(bytes, Number(seed)));
  })
  .on("close", () => process.exit(0));
