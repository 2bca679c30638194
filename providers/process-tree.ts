import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** A process for certain: its pid and its start time in clock ticks since boot (a pid alone is used again). */
export interface ProcessRef {
  pid: number;
  start: string;
}
interface Row extends ProcessRef {
  parent: number;
  group: number;
  zombie: boolean;
}

/** Environment names that mark every process of an agent. */
export const markerNames = { session: "BATON_SESSION", runner: "BATON_RUNNER" } as const;

function row(pid: number): Row | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command name may hold spaces and brackets: fields are counted from the last bracket.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { pid, start: fields[19] ?? "", parent: Number(fields[1]), group: Number(fields[2]), zombie: fields[0] === "Z" || fields[0] === "X" };
  } catch {
    return null;
  }
}

const allRows = (): Row[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => row(Number(name)))
    .filter((one) => one !== null);

/** The process's start ticks, or null when it is gone or a zombie. */
export function startTicks(pid: number): string | null {
  const one = row(pid);
  return one && !one.zombie ? one.start : null;
}

/** Does exactly this process still run? */
export const lives = (one: ProcessRef): boolean => startTicks(one.pid) === one.start;

/** Everything below these processes, however deep, whatever its session or group; without the roots. */
export function descendants(roots: readonly ProcessRef[]): ProcessRef[] {
  if (roots.length === 0) return [];
  const rows = allRows();
  const inside = new Set(roots.filter(lives).map((one) => one.pid));
  const found: ProcessRef[] = [];
  for (let grew = true; grew;) {
    grew = false;
    for (const one of rows) {
      if (inside.has(one.pid) || !inside.has(one.parent)) continue;
      inside.add(one.pid);
      if (!one.zombie) found.push({ pid: one.pid, start: one.start });
      grew = true;
    }
  }
  return found;
}

/**
 * Processes whose environment names this session and a runner that `runner` accepts. Finds what left the tree: children in
 * sessions of their own whose parent died. Processes of other users are not readable and not found.
 */
export function markedProcesses(sessionUlid: string, runner: (runnerId: string) => boolean): ProcessRef[] {
  const found: ProcessRef[] = [];
  for (const one of allRows()) {
    if (one.zombie || one.pid === process.pid) continue;
    let variables: string[];
    try {
      variables = readFileSync(`/proc/${one.pid}/environ`, "latin1").split("\0");
    } catch {
      continue;
    }
    if (!variables.includes(`${markerNames.session}=${sessionUlid}`)) continue;
    const owner = variables.find((text) => text.startsWith(`${markerNames.runner}=`))?.slice(markerNames.runner.length + 1);
    if (owner !== undefined && runner(owner)) found.push({ pid: one.pid, start: one.start });
  }
  return found;
}

/**
 * Kills what `find` finds and everything below it, again and again until a look finds nothing.
 * Each look stops the processes before they are killed, so that one that forks cannot outrun it; each signal goes only to a
 * pid whose start time is still the same (the pid may have been given to a stranger in between).
 * @returns what is left after `timeoutMs` (a process in an uninterruptible wait); empty is success
 */
export async function killUntilNone(find: () => ProcessRef[], timeoutMs: number): Promise<ProcessRef[]> {
  const end = performance.now() + timeoutMs;
  const known = new Map<string, ProcessRef>();
  for (;;) {
    const found = find();
    for (const one of found) known.set(`${one.pid}.${one.start}`, one);
    for (const one of descendants([...known.values()])) known.set(`${one.pid}.${one.start}`, one);
    const left = [...known.values()].filter(lives);
    // What was found may have handed itself on to a new process since: only a look that finds nothing is the end.
    if (found.length + left.length === 0 || performance.now() > end) return left.length > 0 ? left : found;
    for (const one of left) signal(one, "SIGSTOP");
    killGroups(left, known);
    for (const one of [...left, ...descendants(left)]) {
      known.set(`${one.pid}.${one.start}`, one);
      signal(one, "SIGKILL");
    }
    await sleep(20);
  }
}

/**
 * A chain of processes that fork and exit is faster than any look at /proc, but the kernel kills a whole group at once.
 * Only groups whose leader is one of the agent's, or gone (agents are started as leaders of their own): never one of ours.
 */
function killGroups(left: readonly ProcessRef[], known: ReadonlyMap<string, ProcessRef>): void {
  const agents = new Set([...known.values()].map((one) => one.pid));
  for (const { pid, start } of left) {
    const now = row(pid);
    if (now?.start !== start || now.group <= 1 || now.group === row(process.pid)?.group) continue;
    if (!agents.has(now.group) && row(now.group) !== null) continue;
    try {
      process.kill(-now.group, "SIGKILL");
    } catch {
      /* it ended by itself */
    }
  }
}

function signal(one: ProcessRef, name: NodeJS.Signals): void {
  if (one.pid <= 1 || one.pid === process.pid || !lives(one)) return;
  try {
    process.kill(one.pid, name);
  } catch {
    /* it ended by itself */
  }
}
