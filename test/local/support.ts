import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** `npm start` without start.mjs. */
export const main = join(import.meta.dirname, "..", "..", "local", "main.ts");

/** Living processes (not we ourselves) that have `path` in their command line or environment: `pid command`. */
export function processesOf(path: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
        if (!command.includes(path) && !readFileSync(`/proc/${pid}/environ`, "utf8").includes(path)) return [];
        return [`${pid} ${command.replaceAll("\0", " ").trim()}`];
      } catch {
        return []; // gone meanwhile
      }
    });
}

/** Ends what a failed test left of `path`: only processes that name it. */
export function endProcessesOf(path: string): void {
  for (const line of processesOf(path)) {
    try {
      process.kill(Number.parseInt(line, 10), "SIGKILL");
    } catch {
      /* gone meanwhile */
    }
  }
}

/** Environment of a Baton with its own HOME that need not build Temporal. */
export const sharedCache = { XDG_CACHE_HOME: process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache") };

/** Environment of a Baton that builds Temporal for ever: with a Go in `home` that only sleeps. */
export function slowGo(home: string): Record<string, string> {
  const bin = join(home, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "go"), "#!/bin/sh\nsleep 4321 & wait\n", { mode: 0o755 });
  return { PATH: `${bin}:/usr/bin:/bin`, XDG_CACHE_HOME: join(home, "cache") };
}
