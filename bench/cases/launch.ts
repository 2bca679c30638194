import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Benchmark, type Figures, latencies, percentile } from "../benchmark.ts";
import { type Door, openDoor } from "../door.ts";
import { openRawTemporal, type RawTemporal } from "../floor/temporal.ts";
import type { Ground, Site } from "../ground.ts";
import { addBenchAgent, launchArgs } from "../orders.ts";

const launches = 12;

export const launch: Benchmark = {
  name: "launch",
  what: "`launch_task` at the MCP door until the first thing the agent said is read at that door by cursor; repository of 200 files, worktree on. Floor: the medians of a no-op workflow with one activity, `git worktree add`, a Node process's first byte, one commit and one read, added up",
  units: { p50: "ms", p99: "ms", max: "ms" },
  steady: "p50",
  targets: [
    { figure: "p50", of: "ratio", most: 1.5 },
    { figure: "p99", of: "ratio", by: "p50", most: 3 },
  ],
  async open(ground: Ground) {
    const site = await ground.baton({ gateway: true });
    addBenchAgent(site);
    const door = await openDoor(site);
    const temporal = await openRawTemporal(ground);
    await product(site, door); // connections, caches, the workflow's first load
    return {
      floor: () => floor(site, temporal),
      product: () => product(site, door),
      async close() {
        await temporal.close();
        await door.close();
        await site.close();
      },
    };
  },
};

async function product(site: Site, door: Door): Promise<Figures> {
  const samples: number[] = [];
  for (let n = 0; n < launches; n += 1) {
    const started = performance.now();
    const { sessionUlid } = await door.call("pm_session", { action: "launch_task", ...launchArgs(site, { tools: 1 }) });
    for (let sinceSeq = 0, said = false; !said;) {
      const { events, nextSeq } = (await door.call("pm_session", { action: "events", sessionUlid, sinceSeq, waitMs: 10_000 })) as {
        events: { type: string }[];
        nextSeq: number;
      };
      sinceSeq = nextSeq;
      said = events.some((event) => event.type === "tool.started");
    }
    samples.push(performance.now() - started);
    await door.call("pm_session", { action: "close", sessionUlid });
    await site.baton.eventually(
      "closed",
      async () => (await site.baton.query("select 1 from session where session_ulid = $1 and closed_at is not null", [sessionUlid])).length === 1,
      20_000,
    );
  }
  return latencies(samples);
}

async function floor(site: Site, temporal: RawTemporal): Promise<Figures> {
  const parts: Record<string, number[]> = { temporal: [], worktree: [], spawn: [], commit: [], read: [] };
  const time = async (part: string, work: () => Promise<unknown>): Promise<void> => {
    const started = performance.now();
    await work();
    parts[part]!.push(performance.now() - started);
  };
  for (let n = 0; n < launches; n += 1) {
    parts["temporal"]!.push(await temporal.startToActivity());
    // A fresh place each time, as a launch has: a disk makes files anew in half the time where it has just removed others.
    const path = join(site.stack.home, `floor-worktree-${n}`);
    const git = (...args: string[]) => promisify(execFile)("git", ["-C", site.stack.repository, ...args]);
    await time("worktree", () => git("worktree", "add", "--detach", "-q", path));
    await time("spawn", async () => {
      const child = spawn(process.execPath, ["-e", "process.stdout.write('x')"], { stdio: ["ignore", "pipe", "ignore"] });
      await once(child.stdout, "data");
    });
    await time("commit", () => site.baton.query("insert into host_inbox (host_id, kind, session_ulid, body) values ('floor', 'poke', '', '{}')"));
    await time("read", () => site.baton.query("select * from host_inbox where host_id = 'floor' order by id desc limit 1"));
  }
  for (let n = 0; n < launches; n += 1) rmSync(join(site.stack.home, `floor-worktree-${n}`), { recursive: true, force: true });
  await promisify(execFile)("git", ["-C", site.stack.repository, "worktree", "prune"]);
  const medians = Object.entries(parts).map(([name, samples]) => [name, percentile(samples, 50)] as const);
  return { p50: medians.reduce((sum, [, value]) => sum + value, 0), ...Object.fromEntries(medians) };
}
