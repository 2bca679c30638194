import type { ChildProcess } from "node:child_process";

/** After this pause the next one is started: not while the agent of the former one starts. */
const pauseMs = 250;

/**
 * Keeps one runner process ready that has loaded its program and belongs to no session yet, so that a launch does not wait for Node.
 * Returns the way to take it (null: none is ready; another follows a little later). It is told its spec file's name on its stdin;
 * when its starter dies before that, its stdin ends and it leaves.
 * @param start makes the process; its stdin must be a pipe
 */
export function standbyRunner(start: () => ChildProcess): () => ChildProcess | null {
  let waiting: ChildProcess | null = null;

  function prepare(): void {
    const child = start();
    const lost = (): void => {
      if (waiting === child) waiting = null;
    };
    child.once("error", lost);
    child.once("exit", lost);
    child.stdin?.on("error", lost); // it died a moment ago
    waiting = child;
  }

  let due = setTimeout(prepare, pauseMs).unref();
  return () => {
    const child = waiting;
    waiting = null;
    clearTimeout(due);
    due = setTimeout(prepare, pauseMs).unref();
    return child;
  };
}
