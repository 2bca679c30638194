import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { NoBaton, PmError } from "../client/pm-client.ts";
import { exitCodes, Usage } from "./exit-codes.ts";
import { readStatus, type Status } from "./read-status.ts";
import { printableJson } from "./printable.ts";
import { type Environment, withBaton } from "./running.ts";
import { statusText } from "./status-text.ts";

export const statusUsage = `baton status [--watch] [--json]
    what runs, what waits for whom and since when, with the next call ready to paste; --watch: again at every change`;

const everyMs = 2_000;

/** What runs and what waits, once or (`--watch`) until Ctrl-C. */
export async function status(argv: string[], env: Environment, command: string): Promise<number> {
  const { values, positionals } = parseArgs({ args: argv, allowPositionals: true, options: { json: { type: "boolean" }, watch: { type: "boolean" } } });
  if (positionals.length > 0) throw new Usage(statusUsage);
  let last = "";
  for (;;) {
    const now = await look(env).catch((error: unknown) => {
      // Who watches sees it through that Baton, or its Postgres, starts again.
      const passes = error instanceof NoBaton || (error instanceof PmError && error.code === "UNAVAILABLE");
      if (values.watch && passes) return error;
      throw error;
    });
    // Without the clock: what only grows older is no change to a program.
    const changed = now instanceof Error ? now.message : JSON.stringify(now);
    if (!values.watch || changed !== last || (process.stdout.isTTY && !values.json))
      show(now, { json: values.json === true, watch: values.watch === true, command });
    last = changed;
    if (!values.watch) return exitCodes.done;
    await sleep(everyMs);
  }
}

function look(env: Environment): Promise<Status> {
  return withBaton(env, (pm, { url }) => readStatus(pm, url));
}

function show(now: Status | Error, a: { json: boolean; watch: boolean; command: string }): void {
  if (a.json) return console.log(printableJson(now instanceof Error ? { status: "down", say: now.message } : now));
  if (a.watch && process.stdout.isTTY) process.stdout.write("\u001b[2J\u001b[H");
  console.log(now instanceof Error ? now.message : statusText(now, { command: a.command, now: Date.now() }));
}
