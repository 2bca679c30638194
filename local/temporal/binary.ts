import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { dieWithParent } from "../die-with-parent.ts";

const moduleDirectory = join(import.meta.dirname, "..", "temporal-server");
const threeWays = `Baton needs a Temporal server. One of these gives it one:
  1. TEMPORAL_ADDRESS=host:port   a server that runs already
  2. a \`temporal\` program on PATH (the Temporal CLI)
  3. Go (1.26 or newer) on PATH: Baton then builds the CLI once, from local/temporal-server, and keeps it`;

/**
 * Path of a `temporal` program: on PATH, else in the user's cache, else built with Go into the cache (minutes, once).
 * `progress` gets a sentence now and then. Error: names the three ways to get a Temporal, or it was `aborted`: then the builder is gone.
 */
export async function findTemporal(env: Record<string, string | undefined>, progress: (line: string) => void, aborted?: AbortSignal): Promise<string> {
  const cached = cachedPath(env);
  return onPath("temporal", env) ?? (isExecutable(cached) ? cached : await build(env, cached, progress, aborted));
}

/** First executable `name` on PATH, or null. */
export function onPath(name: string, env: Record<string, string | undefined>): string | null {
  return (
    (env["PATH"] ?? "")
      .split(delimiter)
      .filter(Boolean)
      .map((directory) => join(directory, name))
      .find(isExecutable) ?? null
  );
}

function cachedPath(env: Record<string, string | undefined>): string {
  const hash = createHash("sha256");
  for (const file of ["go.mod", "go.sum"]) hash.update(readFileSync(join(moduleDirectory, file)));
  return join(env["XDG_CACHE_HOME"] || join(env["HOME"] || homedir(), ".cache"), "baton", `temporal-${hash.digest("hex").slice(0, 16)}`, "temporal");
}

async function build(env: Record<string, string | undefined>, target: string, progress: (line: string) => void, aborted?: AbortSignal): Promise<string> {
  const go = onPath("go", env) ?? (isExecutable("/usr/local/go/bin/go") ? "/usr/local/go/bin/go" : null);
  if (go === null) throw new Error(threeWays);
  mkdirSync(join(target, ".."), { recursive: true });
  // a name of our own and a rename: two builders at once both end with a whole program, and a killed one leaves nothing under the real name
  const unfinished = `${target}.${process.pid}`;
  const started = Date.now();
  progress("Building the Temporal server with Go, once: 2 to 8 minutes …");
  const timer = setInterval(() => progress(`  still building Temporal (${Math.round((Date.now() - started) / 1000)} s)`), 10_000);
  try {
    const argv = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", unfinished, "github.com/temporalio/cli/cmd/temporal"];
    const [program = go, ...args] = dieWithParent("INT", argv);
    // a group of its own: Go's compilers end with it
    const child = spawn(program, args, {
      cwd: moduleDirectory,
      env: { ...env, CGO_ENABLED: "0" },
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-4000);
    });
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const code = await orEnded(ended, child.pid, aborted);
    if (aborted?.aborted === true) throw new Error("stopped while Temporal was built");
    if (code !== 0) throw new Error(`Building Temporal failed:\n${errors}\n${threeWays}`);
    renameSync(unfinished, target);
    progress(`  built in ${Math.round((Date.now() - started) / 1000)} s`);
    return target;
  } finally {
    clearInterval(timer);
    rmSync(unfinished, { force: true });
  }
}

/** `ended`, or at `aborted` the end of the whole process group of `pid`: INT, with which Go removes its scratch files, and KILL after 2 s. */
async function orEnded<T>(ended: Promise<T>, pid: number | undefined, aborted: AbortSignal | undefined): Promise<T> {
  const timers: NodeJS.Timeout[] = [];
  const kill = (signal: NodeJS.Signals): void => {
    try {
      if (pid !== undefined) process.kill(-pid, signal);
    } catch {
      /* gone already */
    }
  };
  const abort = (): void => {
    kill("SIGINT");
    timers.push(setTimeout(() => kill("SIGKILL"), 2_000));
  };
  if (aborted?.aborted === true) abort();
  aborted?.addEventListener("abort", abort, { once: true });
  try {
    return await ended;
  } finally {
    aborted?.removeEventListener("abort", abort);
    timers.forEach(clearTimeout);
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
