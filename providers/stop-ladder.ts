import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { descendants, killUntilNone, lives, markedProcesses } from "./process-tree.ts";
import type { ProcessRef } from "./process-tree.ts";

/**
 * Ends an agent and everything it started: closes its stdin and sends TERM, waits `graceMs` for it, then kills what is left of
 * its tree and whatever carries its marker. The protocol's own interrupt comes before, it is the driver's.
 * @returns processes that would not die within 10 s; empty is success
 */
export async function stopLadder(a: {
  child: ChildProcess;
  /** The agent as it was when it started: by now its pid may be a stranger's. */
  self: ProcessRef | null;
  exited: Promise<unknown>;
  sessionUlid: string;
  runnerId: string;
  graceMs: number;
}): Promise<ProcessRef[]> {
  const known = a.self === null ? [] : [a.self];
  // Before the agent dies: its children keep their parent only until then.
  const below = descendants(known);
  a.child.stdin?.end();
  a.child.kill("SIGTERM");
  const late = new AbortController();
  await Promise.race([a.exited, sleep(a.graceMs, undefined, { signal: late.signal }).catch(() => undefined)]);
  late.abort();
  // What carries the marker was alive a moment ago. Not looked at again: one that has gone since may have left a successor.
  return killUntilNone(() => [...[...known, ...below].filter(lives), ...markedProcesses(a.sessionUlid, (runnerId) => runnerId === a.runnerId)], 10_000);
}
