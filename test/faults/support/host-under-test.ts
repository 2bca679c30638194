import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readConfig } from "../../../contracts/config.schema.ts";
import { runHostWorker } from "../../../workers/host.ts";

/** The real host worker with stop points: at the `hit`th passing of `name` it is killed, frozen, or the step's answer is lost; `slow`: each passing takes 1.5 s. */
export interface StopPlan {
  name: string;
  hit: number;
  action: "kill" | "freeze" | "swallow" | "slow";
}

const config = readConfig(process.env);
const plan = JSON.parse(process.env["BATON_TEST_STOP"] ?? "null") as StopPlan | null;
const reached = join(config.home, "stop-points.log");
const fired = process.env["BATON_TEST_FIRED"] ?? join(config.home, "stop-fired");
let hits = 0;

async function stopPoint(name: string): Promise<void> {
  appendFileSync(reached, `${name}\n`);
  if (plan?.name === name && plan.action === "slow") return await sleep(1_500);
  // Once per run of the test, over all restarts: else the same plan would kill each successor.
  if (plan?.name !== name || existsSync(fired) || ++hits !== plan.hit) return;
  writeFileSync(fired, `${process.pid} ${plan.action}`);
  if (plan.action === "swallow") throw new Error(`test: the answer at ${name} is lost`);
  process.kill(process.pid, plan.action === "kill" ? "SIGKILL" : "SIGSTOP");
  // The signal is delivered by the kernel before another step of ours.
  const until = performance.now() + 50;
  while (performance.now() < until) readFileSync("/proc/self/stat");
}

const stop = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort());
await runHostWorker(config, process.env, stop.signal, stopPoint).catch((error: unknown) => {
  if (!stop.signal.aborted) throw error;
});
process.exit();
