import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Deps } from "./deps.ts";

export interface ListedProcess {
  role: "gateway" | "engine" | "host" | "postgres" | "temporal" | "runner" | "agent";
  pid: number;
  /** null: another machine's */
  startedAt: string | null;
  sessionUlid?: string;
}
type Runner = { sessionUlid: string; hostId: string; pid: number };

const partRoles = new Set(["gateway", "engine", "host", "postgres", "temporal"]);

/** Baton's processes that live: the parts that `npm start` keeps up, this door, the hosts, and on this machine each runner with its agent. */
export async function listProcesses(deps: Deps, hosts: { hostId: string; pid: number; alive: boolean }[], runners: Runner[]): Promise<ListedProcess[]> {
  const here = (hostId: string) => hostId === deps.options.hostId;
  const known = [
    ...(await parts(deps.options.home)),
    { role: "gateway" as const, pid: process.pid },
    ...hosts.filter((host) => host.alive && here(host.hostId)).map(({ pid }) => ({ role: "host" as const, pid })),
  ];
  const found: ListedProcess[] = [];
  for (const { role, pid } of known) {
    const startedAt = await startOf(pid);
    if (startedAt !== null && !found.some((one) => one.pid === pid)) found.push({ role, pid, startedAt });
  }
  for (const host of hosts) if (host.alive && !here(host.hostId)) found.push({ role: "host", pid: host.pid, startedAt: null });
  for (const { sessionUlid, pid } of runners.filter((runner) => here(runner.hostId))) {
    const startedAt = await startOf(pid);
    if (startedAt === null) continue;
    found.push({ role: "runner", pid, startedAt, sessionUlid });
    for (const child of await childrenOf(pid)) found.push({ role: "agent", pid: child, startedAt: await startOf(child), sessionUlid });
  }
  return found;
}

/** What the supervisor on this home keeps up, by its run.json. */
async function parts(home: string): Promise<{ role: ListedProcess["role"]; pid: number }[]> {
  try {
    const run = JSON.parse(await readFile(join(home, "run.json"), "utf8")) as { parts?: Record<string, { pid: number }> };
    return Object.entries(run.parts ?? {}).flatMap(([role, { pid }]) => (partRoles.has(role) ? [{ role: role as ListedProcess["role"], pid }] : []));
  } catch {
    return [];
  }
}

/** ISO time at which a living process started; null: there is none. The kernel counts in hundredths of a second from the boot. */
async function startOf(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z" || fields[0] === "X") return null;
    const boot = Number(/^btime (\d+)$/m.exec(await readFile("/proc/stat", "utf8"))?.[1]);
    return new Date(boot * 1_000 + Number(fields[19]) * 10).toISOString();
  } catch {
    return null;
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  try {
    return (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
