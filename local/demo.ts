import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { demoArguments } from "../demo/arguments.ts";
import { readConfig } from "../contracts/config.schema.ts";
import { dieWithParent } from "./die-with-parent.ts";
import { prepareHome } from "./home.ts";
import { isAlive } from "./process-identity.ts";
import { readRunFile, runningBaton } from "./run-file.ts";
import type { RunFile } from "./run-file.ts";

/**
 * `npm run demo`: on the Baton that runs already, else on one of its own in a temporary home and on free ports, which is stopped and
 * removed afterwards. The demo itself is an ordinary client: it gets an address and a token.
 */
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
  const own = await ownBaton();
  let code = 1;
  try {
    const run = await own.up();
    code = run === null ? 1 : await demo(run);
  } finally {
    await own.stop();
    if (code === 0) rmSync(own.home, { recursive: true, force: true });
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
  const child = spawn(process.execPath, [join(import.meta.dirname, "..", "demo", "main.ts"), ...process.argv.slice(2)], { stdio: "inherit", env });
  // the terminal's Ctrl-C reaches the demo itself; ours is only to outlive it and to stop the Baton
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return await new Promise((resolve) => {
    child.once("error", () => resolve(1));
    child.once("exit", (code) => resolve(code ?? 130));
  });
}

interface OwnBaton {
  home: string;
  log: string;
  up(): Promise<RunFile | null>;
  stop(): Promise<void>;
}

async function ownBaton(): Promise<OwnBaton> {
  const home = prepareHome(mkdtempSync(join(tmpdir(), "baton-demo-")));
  const log = join(home.logs, "supervisor.log");
  const output = openSync(log, "a", 0o600);
  process.stdout.write("Starting a Baton for the demo …\n");
  const [program = process.execPath, ...args] = dieWithParent("TERM", [process.execPath, join(import.meta.dirname, "main.ts")]);
  const env = { ...process.env, BATON_HOME: home.path, BATON_PORT: "0" };
  // its own group: Ctrl-C must first end the demo, then, by us, the Baton
  const child = spawn(program, args, { env, detached: true, stdio: ["ignore", output, output] });
  closeSync(output);
  let over = false;
  const ended = new Promise<void>((resolve) => {
    child.once("error", () => {
      over = true;
      resolve();
    });
    child.once("exit", () => {
      over = true;
      resolve();
    });
  });
  return {
    home: home.path,
    log,
    async up() {
      // no limit of ours: a first start may build Temporal for minutes, and the supervisor has its own limits
      for (let shown = 0; !over;) {
        const run = await runningBaton(home.runFile, 1_000);
        if (run !== null) return run;
        const text = readFileSync(log, "utf8");
        process.stdout.write(text.slice(shown).replace(/^(?=.)/gm, "  "));
        shown = text.length;
      }
      process.stderr.write(readFileSync(log, "utf8"));
      return null;
    },
    async stop() {
      if (!over) child.kill("SIGTERM");
      await ended;
    },
  };
}
