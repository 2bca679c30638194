import { readFileSync, writeFileSync } from "node:fs";

/** The most memory that a process held at a time, in MB; null when it is gone. */
export function peakMegabytes(pid: number): number | null {
  try {
    // A zombie has none.
    const found = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return found === undefined ? null : Number(found) / 1_024;
  } catch {
    return null;
  }
}

/** From here on `peakMegabytes` counts anew. */
export const forgetPeak = (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, "5");
