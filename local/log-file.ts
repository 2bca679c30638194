import { copyFileSync, readdirSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";

const maxBytes = 20_000_000;

/** Keeps a log and one older one (`.1`), each up to 20 MB and what is written within a minute. By copy and truncate: its writers append and need not know. */
export function rotate(file: string): void {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < maxBytes) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file, 0);
}

/** Looks at every log of the directory each `everyMs`, until the function that it gives is called. `quietly` runs a write that may fail. */
export function watchLogs(directory: string, quietly: (write: () => void) => void, everyMs = 60_000): () => void {
  const timer = setInterval(() => {
    quietly(() => {
      for (const name of readdirSync(directory)) if (name.endsWith(".log")) rotate(join(directory, name));
    });
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
