import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { agentProcesses } from "../../test/faults/support/auditor.ts";
import { type Benchmark, latencies } from "../benchmark.ts";
import { abort, addBenchAgent, launch, prompt } from "../orders.ts";

const aborts = 10;

export const abortLatency: Benchmark = {
  name: "abort",
  what: "`abort` of a turn that is at work until no process of its agent is left. Floor: SIGKILL to a Node process until it is gone",
  units: { p50: "ms", p99: "ms", max: "ms" },
  targets: [
    { figure: "p50", of: "value", most: 250 },
    { figure: "p99", of: "value", most: 1_000 },
  ],
  async open(ground) {
    const site = await ground.baton();
    addBenchAgent(site);
    const session = await launch(site, { tools: 1 });
    let turns = 1;
    await site.baton.turnsEnded(session, turns, 30_000);
    return {
      async floor() {
        const samples: number[] = [];
        for (let n = 0; n < aborts; n += 1) {
          const child = spawn(process.execPath, ["-e", "process.stdout.write('x'); setInterval(() => {}, 1000)"], { stdio: ["ignore", "pipe", "ignore"] });
          await once(child.stdout, "data");
          const gone = once(child, "exit");
          const started = performance.now();
          child.kill("SIGKILL");
          await gone;
          samples.push(performance.now() - started);
        }
        return latencies(samples);
      },
      async product() {
        const samples: number[] = [];
        for (let n = 0; n < aborts; n += 1) {
          const { data } = await prompt(site, session, { hang: true });
          await site.baton.eventually(
            "the agent has the prompt",
            async () => (await site.baton.query("select 1 from input where input_id = $1 and state = 'delivered'", [data["inputId"]])).length === 1,
            30_000,
          );
          await sleep(100);
          if (agentProcesses([session]).length === 0) throw new Error("there is no agent to abort");
          const started = performance.now();
          await abort(site, session);
          while (agentProcesses([session]).length > 0) await sleep(2);
          samples.push(performance.now() - started);
          turns += 1;
          await site.baton.turnsEnded(session, turns, 30_000);
        }
        return latencies(samples);
      },
      close: () => site.close(),
    };
  },
};
