import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Envelope } from "../client/pm-client.ts";
import { exitCodes, Usage } from "./exit-codes.ts";
import { printable, printableJson } from "./printable.ts";
import { type Environment, withBaton } from "./running.ts";

export const callUsage = `baton call <tool> '<json>' [--json]
    one call, as an MCP host would send it; "-" reads the JSON from stdin, "@file" from a file; --json: the answer on one line`;

/** One call of a tool. The whole answer goes to stdout, a refusal's sentence to stderr too. */
export async function call(argv: string[], env: Environment): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, allowPositionals: true, options: { json: { type: "boolean" } } });
  const [tool, text = "{}", ...more] = positionals;
  if (!tool || more.length > 0) throw new Usage(callUsage);
  const args = objectIn(text);
  const answer = await withBaton(env, (pm) => pm.send(tool, args));
  console.log(printableJson(answer, values.json ? 0 : 2));
  if (answer.error) console.error(printable(`${answer.error.code}: ${answer.error.message}`));
  return codeOf(answer);
}

/** The exit code of an answer. */
export function codeOf(answer: Envelope): number {
  if (answer.ok) return exitCodes.done;
  return answer.error?.retryable ? exitCodes.tryAgain : exitCodes.refused;
}

function objectIn(given: string): Record<string, unknown> {
  const text = given === "-" ? readFileSync(0, "utf8") : given.startsWith("@") ? contentOf(given.slice(1)) : given;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new Usage(`The arguments are no JSON (${(error as Error).message}).\n\n${callUsage}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw new Usage(`The arguments must be a JSON object.\n\n${callUsage}`);
  return parsed as Record<string, unknown>;
}

function contentOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Usage(`The arguments cannot be read from the file ${JSON.stringify(file)} (${String((error as NodeJS.ErrnoException).code)}).\n\n${callUsage}`);
  }
}
