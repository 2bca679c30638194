import type { ChildProcess } from "node:child_process";
import { openTestBaton, type TestBaton } from "./launch.ts";
import { endStack } from "./leftovers.ts";
import { openStack, type Stack } from "./stack.ts";

/** What a fault file works on. The fields are filled before its first test. */
export interface OnStack {
  stack: Stack;
  baton: TestBaton;
  /** the host worker that is up; a test that replaces it says so here */
  host: ChildProcess;
  engine: ChildProcess;
}

/**
 * One stack for all tests of the file (or of the `describe` that calls it), with the processes named in `start`; afterwards every
 * session is closed, everything is ended, and a process that outlives its session fails the file. `numbers`: BATON_* of all processes.
 */
export function onStack(a: { start: ("engine" | "host")[]; numbers?: Record<string, string>; before?: (stack: Stack) => void | Promise<void> }): OnStack {
  const on = {} as OnStack;
  beforeAll(async () => {
    on.stack = await openStack(a.numbers);
    await a.before?.(on.stack);
    if (a.start.includes("engine")) on.engine = await on.stack.startEngine();
    if (a.start.includes("host")) on.host = await on.stack.startHost();
    on.baton = await openTestBaton(on.stack);
  }, 120_000);
  afterAll(() => endStack(on.baton, on.stack), 90_000);
  return on;
}

/** Kills a process and waits until it is gone. */
export async function kill(child: ChildProcess, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}
