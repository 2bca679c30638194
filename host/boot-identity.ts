import { readFileSync } from "node:fs";

/** Identifies a process across pid reuse and reboots (Linux; elsewhere the ticks are empty and only the pid counts). */
export interface ProcessIdentity {
  pid: number;
  bootId: string;
  startTicks: string;
}

/** The kernel's id of this boot; empty where the kernel has none. */
export function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "";
  }
}

/** Start time of a process in clock ticks since boot (field 22 of /proc/<pid>/stat); null: no such process, or a zombie. */
export function startTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The command name may hold spaces and parentheses: count fields after the last one.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}

/** Is exactly this process alive? Another boot, another start time or no process: no. */
export function isAlive(process: ProcessIdentity): boolean {
  return process.bootId === bootId() && startTicks(process.pid) === process.startTicks;
}

/** This process. */
export const ownIdentity = (): ProcessIdentity => ({ pid: process.pid, bootId: bootId(), startTicks: startTicks(process.pid) ?? "" });
