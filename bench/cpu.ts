import { readdirSync, readFileSync } from "node:fs";
import type { Site } from "./ground.ts";

/** CPU seconds used so far, by part of Baton. */
export type CpuTimes = Record<"engine" | "host" | "gateway" | "runners" | "agents" | "postgres", number>;

const ticksPerSecond = 100; // what Linux tells programs, on every machine

/** Reads /proc. Postgres: its processes that serve this site's database, while they are connected. */
export function cpuTimes(site: Site): CpuTimes {
  const times: CpuTimes = { engine: 0, host: 0, gateway: 0, runners: 0, agents: 0, postgres: 0 };
  const database = new URL(site.stack.databaseUrl).pathname.slice(1);
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const pid = Number(entry);
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "latin1");
      const part =
        pid === site.pids.engine ? "engine" : pid === site.pids.host ? "host" : pid === site.pids.gateway ? "gateway" : partOf(command, site, database);
      if (part) times[part] += seconds(pid);
    } catch {
      /* it ended meanwhile */
    }
  }
  return times;
}

function partOf(command: string, site: Site, database: string): keyof CpuTimes | null {
  if (command.includes("runner/main.ts")) return "runners";
  if (command.includes("bench/agent.mjs")) return "agents";
  return command.startsWith("postgres:") && command.includes(database) ? "postgres" : null;
}

function seconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Percent of one core that each part used between two readings. */
export function cpuPercent(before: CpuTimes, after: CpuTimes, ms: number): Record<string, number> {
  return Object.fromEntries(Object.entries(after).map(([part, used]) => [`cpu ${part}`, ((used - before[part as keyof CpuTimes]) / ms) * 100_000]));
}
