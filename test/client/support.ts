import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { repositoryInspector } from "../../client/inspect-repository.ts";
import type { BatonOptions } from "../../client/open-baton.ts";

/** A repository with one commit. */
export function repository(directory: string): string {
  mkdirSync(directory, { recursive: true });
  const git = (...args: string[]) => execFileSync("git", ["-C", directory, "-c", "user.name=t", "-c", "user.email=t@t", ...args]);
  git("init", "-q", "-b", "main");
  writeFileSync(join(directory, "a.txt"), "a\n");
  git("add", ".");
  git("commit", "-q", "-m", "first");
  return directory;
}

export function batonOptions(a: { home: string; databaseUrl: string; instance: string; temporalAddress?: string }): BatonOptions {
  return {
    databaseUrl: a.databaseUrl,
    temporalAddress: a.temporalAddress ?? process.env["TEST_TEMPORAL_ADDRESS"] ?? "",
    temporalNamespace: "default",
    instance: a.instance,
    home: a.home,
    hostId: "h1",
    hostBeatTimeoutMs: 15_000,
    turnAttempts: 3,
    inputQueue: 50,
    inspectRepository: repositoryInspector(process.env),
    searchPath: process.env["PATH"] ?? "",
  };
}
