import { readdirSync, readFileSync } from "node:fs";

/** Resident memory of a process, MB. */
export function residentMb(pid: number): number {
  const kb = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kb ?? NaN) / 1_024;
}

/** Open file descriptors of a process. */
export const descriptors = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Dead children that nobody has waited for, of these parents. */
export function zombies(parents: number[]): number {
  let count = 0;
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const [state, parent] = readFileSync(`/proc/${entry}/stat`, "latin1").split(") ")[1]!.split(" ");
      if (state === "Z" && parents.includes(Number(parent))) count += 1;
    } catch {
      /* gone */
    }
  }
  return count;
}
