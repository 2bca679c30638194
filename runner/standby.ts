import type { ChildProcess } from "node:child_process";

/** So many are ready: the next one starts while the agent of a launch does, and would not be there for a launch right behind it. */
const kept = 2;
/** After this pause one more is started: not while the agent of the former one starts. */
const pauseMs = 250;

/**
 * Keeps runner processes ready that have loaded their program and belong to no session yet, so that a launch does not wait for Node.
 * Returns the way to take one (null: none is ready; more follow a little later). It is told its spec file's name on its stdin;
 * when its starter dies before that, its stdin ends and it leaves.
 * @param start makes the process; its stdin must be a pipe
 */
export function standbyRunners(start: () => ChildProcess): () => ChildProcess | null {
  const waiting: ChildProcess[] = [];

  function prepare(): void {
    const child = start();
    const lost = (): void => {
      const at = waiting.indexOf(child);
      if (at >= 0) waiting.splice(at, 1);
    };
    child.once("error", lost);
    child.once("exit", lost);
    child.stdin?.on("error", lost); // it died a moment ago
    waiting.push(child);
    // Only behind one that stands: where none can be started, a try for each launch is enough.
    if (waiting.length < kept) due = later(() => waiting.includes(child) && prepare());
  }

  const later = (start: () => void): NodeJS.Timeout => setTimeout(start, pauseMs).unref();
  let due = later(prepare);
  return () => {
    const child = waiting.shift() ?? null;
    clearTimeout(due);
    due = later(prepare);
    return child;
  };
}
