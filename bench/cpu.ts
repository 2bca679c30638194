import { readdirSync, readFileSync } from "node:fs";
import type { Site } from "./ground.ts";

type Part = "engine" | "host" | "gateway" | "runners" | "agents" | "postgres";
const parts: Part[] = ["engine", "host", "gateway", "runners", "agents", "postgres"];
/** CPU seconds used so far, by process. */
export type CpuTimes = Map<string, { part: Part; seconds: number }>;

const ticksPerSecond = 100; // what Linux tells programs, on every machine

/** Reads /proc. Postgres: its processes that serve this site's database, while they are connected. */
export function cpuTimes(site: Site): CpuTimes {
  const times: CpuTimes = new Map();
  const database = new URL(site.stack.databaseUrl).pathname.slice(1);
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const pid = Number(entry);
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "latin1");
      const part =
        pid === site.pids.engine ? "engine" : pid === site.pids.host ? "host" : pid === site.pids.gateway ? "gateway" : partOf(command, site, database);
      const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ");
      // With its start: a number is given again.
      if (part) times.set(`${pid}/${fields[19]}`, { part, seconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond });
    } catch {
      /* it ended meanwhile */
    }
  }
  return times;
}

function partOf(command: string, site: Site, database: string): Part | null {
  if (command.includes("runner/main.ts")) return "runners";
  if (command.includes("bench/agent.mjs")) return "agents";
  return command.startsWith("postgres:") && command.includes(database) ? "postgres" : null;
}

/** Percent of one core that each part used between two readings. What a process that ended used after the first is not seen. */
export function cpuPercent(before: CpuTimes, after: CpuTimes, ms: number): Record<string, number> {
  const used: Record<string, number> = Object.fromEntries(parts.map((part) => [`cpu ${part}`, 0]));
  for (const [process, { part, seconds }] of after) used[`cpu ${part}`]! += ((seconds - (before.get(process)?.seconds ?? 0)) / ms) * 100_000;
  return used;
}
