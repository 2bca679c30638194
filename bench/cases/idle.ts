import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, Connection } from "@temporalio/client";
import { agentProcesses } from "../../test/faults/support/auditor.ts";
import type { Benchmark, Figures } from "../benchmark.ts";
import { cpuPercent, cpuTimes } from "../cpu.ts";
import type { Ground, Site } from "../ground.ts";
import { residentMb } from "../memory.ts";
import { addBenchAgent, launch } from "../orders.ts";

const sessions = 200;

export const idle: Benchmark = {
  name: "idle",
  what: `${sessions} open sessions that wait, after their keep-alive: memory that each added to engine, host and gateway together, processes of their agents, CPU of Baton's processes over 10 s. Floor: as many parked workflows in a bare worker`,
  units: { "MB a session": "", processes: "", "cpu %": "of one core" },
  rounds: 1,
  targets: [
    { figure: "MB a session", of: "value", most: 1.5 },
    { figure: "processes", of: "value", most: 0 },
    { figure: "cpu %", of: "value", most: 3 },
  ],
  async open(ground) {
    const site = await ground.baton({ gateway: true, numbers: { BATON_KEEP_ALIVE_MS: "1000" } });
    addBenchAgent(site);
    return { floor: () => floor(ground), product: () => product(site), close: () => site.close() };
  },
};

async function product(site: Site): Promise<Figures> {
  const parts = [site.pids.engine, site.pids.host, site.pids.gateway];
  const memory = (): number => parts.reduce((sum, pid) => sum + residentMb(pid), 0);
  // What the first ones load stays, however many follow.
  for (let n = 0; n < 5; n += 1) await site.baton.turnsEnded(await launch(site, { tools: 1 }), 1, 30_000);
  const before = memory();
  const ids: string[] = [];
  for (let n = 0; n < sessions; n += 8) ids.push(...(await Promise.all(Array.from({ length: 8 }, () => launch(site, { tools: 1 })))));
  for (const id of ids) await site.baton.turnsEnded(id, 1, 120_000);
  await site.baton.eventually("no agent is kept", async () => agentProcesses(ids).length === 0, 60_000);
  await sleep(10_000);
  const after = memory();
  const cpu = cpuTimes(site);
  const since = performance.now();
  await sleep(10_000);
  const load = cpuPercent(cpu, cpuTimes(site), performance.now() - since);
  return {
    "MB a session": (after - before) / ids.length,
    processes: agentProcesses(ids).length,
    "cpu %": Object.values(load).reduce((sum, one) => sum + one, 0),
  };
}

async function floor(ground: Ground): Promise<Figures> {
  const taskQueue = `floor-${randomUUID()}`;
  const worker = spawn(process.execPath, [join(import.meta.dirname, "..", "floor", "parked-worker.ts"), ground.temporalAddress, taskQueue], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(worker.stdout, "data");
  const connection = await Connection.connect({ address: ground.temporalAddress });
  const client = new Client({ connection });
  const start = (count: number) => Promise.all(Array.from({ length: count }, () => client.workflow.start("parked", { taskQueue, workflowId: randomUUID() })));
  const handles = await start(5);
  await sleep(3_000);
  const before = residentMb(worker.pid ?? 0);
  for (let n = 0; n < sessions; n += 8) handles.push(...(await start(8)));
  await sleep(10_000);
  const after = residentMb(worker.pid ?? 0);
  for (const handle of handles) await handle.signal("end");
  await Promise.all(handles.map((handle) => handle.result()));
  const gone = once(worker, "exit");
  worker.kill("SIGTERM");
  await gone;
  await connection.close();
  return { "MB a session": (after - before) / sessions };
}
