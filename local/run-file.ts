import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { isAlive } from "./process-identity.ts";
import type { ProcessIdentity } from "./process-identity.ts";

/** What is up on a home: `run.json` (0600, its database address holds the password). */
export interface RunFile extends ProcessIdentity {
  /** everything answers */
  ready: boolean;
  url: string;
  mcpUrl: string;
  temporalUiUrl: string | null;
  databaseUrl: string;
  temporalAddress: string;
  /** names the queues and channels: a door that reads this file must use the same */
  instance: string;
  hostId: string;
  tokenFile: string;
  checkout: string;
  parts: Record<string, ProcessIdentity>;
}

/** Written whole by rename: a reader never sees half of it. */
export function writeRunFile(file: string, run: RunFile): void {
  const draft = `${file}.${process.pid}`;
  try {
    writeFileSync(draft, `${JSON.stringify(run, null, 2)}\n`, { mode: 0o600 });
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

/** Null: none, or not readable as one. It may be of a dead Baton: see `runningBaton`. */
export function readRunFile(file: string): RunFile | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as RunFile;
  } catch {
    return null;
  }
}

export function removeRunFile(file: string): void {
  rmSync(file, { force: true });
}

/** The living Baton on this home, once everything of it is up; waits `timeoutMs` for one that is starting. Null: none. */
export async function runningBaton(file: string, timeoutMs: number): Promise<RunFile | null> {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const run = readRunFile(file);
    if (run !== null && isAlive(run) && run.ready && (await isHealthy(run.url))) return run;
    if (Date.now() >= end) return null;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}
