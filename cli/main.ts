import { NoBaton } from "../client/pm-client.ts";
import { answer, answerUsage } from "./answer.ts";
import { call, callUsage } from "./call.ts";
import { connect, connectUsage } from "./connect.ts";
import { exitCodes, Usage } from "./exit-codes.ts";
import { printableJson, printableLines } from "./printable.ts";
import { status, statusUsage } from "./status.ts";
import { token, tokenUsage } from "./token.ts";

/** How this program is called here, for calls that are ready to paste. */
const self = process.env["BATON_COMMAND"] || "npx baton";

const commands: Record<string, (argv: string[]) => number | Promise<number>> = {
  call: (argv) => call(argv, process.env),
  status: (argv) => status(argv, process.env, self),
  answer: (argv) => answer(argv, process.env),
  token: (argv) => token(argv, process.env),
  connect: (argv) => connect(argv, process.env),
};

const usage = `${[callUsage, statusUsage, answerUsage, tokenUsage, connectUsage].join("\n")}

Ends with 0: done; 1: refused, the answer says why; 2: no Baton runs or answers; 3: not now, try again; 64: written wrongly.
Talks to the Baton of BATON_HOME (default ~/.baton), or to BATON_URL with BATON_TOKEN.`;

async function main(): Promise<number> {
  const [name = "", ...argv] = process.argv.slice(2);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command || argv.includes("--help")) {
    (command ? console.log : console.error)(usage);
    return command ? exitCodes.done : exitCodes.usage;
  }
  try {
    return await command(argv);
  } catch (error) {
    const { message } = error as Error;
    console.error(printableLines(message));
    const { code, exit } = meaningOf(error);
    if (argv.includes("--json")) console.log(printableJson({ ok: false, error: { code, message, retryable: exit === exitCodes.tryAgain } }));
    return exit;
  }
}

/** What a program reads of an error: a code, and what we end with. */
function meaningOf(error: unknown): { code: string; exit: number } {
  if (error instanceof NoBaton) return { code: "NO_BATON", exit: exitCodes.notRunning };
  const code = String((error as { code?: unknown }).code ?? "INTERNAL");
  if (error instanceof Usage || code.startsWith("ERR_PARSE_ARGS")) return { code: "USAGE", exit: exitCodes.usage };
  return { code, exit: code === "UNAVAILABLE" || code === "RATE_LIMITED" ? exitCodes.tryAgain : exitCodes.refused };
}

process.exitCode = await main();
