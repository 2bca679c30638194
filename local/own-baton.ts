import { spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dieWithParent } from "./die-with-parent.ts";
import { fillHome, openHome } from "./home.ts";
import { runningBaton } from "./run-file.ts";
import type { RunFile } from "./run-file.ts";

export interface OwnBaton {
  home: string;
  log: string;
  /** shows what it says meanwhile; null: it does not come up, and said why on stderr; or `aborted` */
  up(aborted?: AbortSignal): Promise<RunFile | null>;
  stop(): Promise<void>;
}

/** A Baton on a new temporary home (its name begins with `prefix`) and on free ports, with `env` on top of ours. Its starter removes the home. */
export function ownBaton(prefix: string, env: Record<string, string> = {}): OwnBaton {
  const home = openHome(mkdtempSync(join(tmpdir(), prefix)));
  fillHome(home);
  const log = join(home.logs, "supervisor.log");
  const output = openSync(log, "a", 0o600);
  const [program = process.execPath, ...args] = dieWithParent("TERM", [process.execPath, join(import.meta.dirname, "main.ts")]);
  // its own group: Ctrl-C must first end what uses it, then, by us, the Baton
  const child = spawn(program, args, {
    env: { ...process.env, ...env, BATON_HOME: home.path, BATON_PORT: "0" },
    detached: true,
    stdio: ["ignore", output, output],
  });
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
    async up(aborted) {
      // no limit of ours: a first start may build Temporal for minutes, and the supervisor has its own limits
      for (let shown = 0; !over;) {
        if (aborted?.aborted === true) return null;
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
