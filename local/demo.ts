import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { demoArguments } from "../demo/arguments.ts";
import { readConfig } from "../contracts/config.schema.ts";
import { dieWithParent } from "./die-with-parent.ts";
import { outliveOutput } from "./outlive-output.ts";
import { ownBaton } from "./own-baton.ts";
import { isAlive } from "./process-identity.ts";
import { readRunFile, runningBaton } from "./run-file.ts";
import type { RunFile } from "./run-file.ts";
import { onStopSignals } from "./stop-signals.ts";

/**
 * `npm run demo`: on the Baton that runs already, else on one of its own in a temporary home and on free ports, which is stopped and
 * removed afterwards. The demo itself is an ordinary client: it gets an address and a token.
 */
outliveOutput();
const interrupt = new AbortController();
let child: ChildProcess | null = null;
// Before anything is started. The demo and the Baton are in groups of their own: only we hear of a terminal's Ctrl-C.
onStopSignals(
  () => {
    interrupt.abort();
    child?.kill("SIGTERM");
  },
  () => child?.kill("SIGTERM"),
);
process.exitCode = await main();

async function main(): Promise<number> {
  try {
    demoArguments(); // before a Baton is started for them
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    return 1;
  }
  const running = await livingBaton(join(readConfig(process.env).home, "run.json"));
  if (running !== null) {
    process.stdout.write(`Using the Baton that runs at ${running.url}\n`);
    return await demo(running);
  }
  process.stdout.write("Starting a Baton for the demo …\n");
  const own = ownBaton("baton-demo-");
  let code = 1;
  try {
    const run = await own.up(interrupt.signal);
    if (interrupt.signal.aborted) code = 130;
    else if (run !== null) code = await demo(run);
  } finally {
    await own.stop();
    if (code === 0 || interrupt.signal.aborted) rmSync(own.home, { recursive: true, force: true, maxRetries: 5 });
    else process.stderr.write(`The demo failed (${code}). Logs: ${join(own.home, "logs")}, ${own.log}\n`);
  }
  return code;
}

/** The Baton of this home; one that is just starting is waited for. Null: none. */
async function livingBaton(file: string): Promise<RunFile | null> {
  for (let told = false; ; told = true) {
    const running = await runningBaton(file, 0);
    if (running !== null) return running;
    const starting = readRunFile(file);
    if (starting === null || starting.ready || !isAlive(starting)) return null;
    if (interrupt.signal.aborted) process.exit(130);
    if (!told) process.stdout.write("Waiting for the Baton that is starting …\n");
    await sleep(500);
  }
}

async function demo(run: RunFile): Promise<number> {
  const env = {
    ...process.env,
    BATON_URL: run.url,
    BATON_TOKEN: readFileSync(run.tokenFile, "utf8").trim(),
    DATABASE_URL: run.databaseUrl,
    TEMPORAL_ADDRESS: run.temporalAddress,
    BATON_HOME: join(run.tokenFile, ".."),
  };
  const argv = [process.execPath, join(import.meta.dirname, "..", "demo", "main.ts"), ...process.argv.slice(2)];
  const [program = process.execPath, ...args] = dieWithParent("TERM", argv);
  const started = spawn(program, args, { stdio: ["ignore", "inherit", "inherit"], detached: true, env });
  child = started;
  return await new Promise((resolve) => {
    started.once("error", () => resolve(1));
    started.once("exit", (code) => resolve(code ?? 130));
  });
}
