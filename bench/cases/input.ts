import { type Benchmark, latencies } from "../benchmark.ts";
import { openRawTemporal } from "../floor/temporal.ts";
import { addBenchAgent, launch, prompt, stamps } from "../orders.ts";

const inputs = 20;

export const inputLatency: Benchmark = {
  name: "input",
  what: "`input` to an idle session whose agent is kept alive, until the agent has it (by its own clock). Floor: a Signal to a waiting workflow until the activity that it schedules runs",
  units: { p50: "ms", p99: "ms", max: "ms" },
  steady: "p50",
  targets: [{ figure: "p50", of: "ratio", most: 1.5 }],
  async open(ground) {
    const site = await ground.baton();
    addBenchAgent(site);
    const raw = await openRawTemporal(ground);
    const session = await launch(site, { tools: 1 });
    let turns = 1;
    await site.baton.turnsEnded(session, turns, 30_000);
    const once = async (): Promise<number> => {
      const called = process.hrtime.bigint();
      const { data } = await prompt(site, session, { tools: 1 });
      turns += 1;
      await site.baton.turnsEnded(session, turns, 30_000);
      const rows = await site.baton.query<{ title: string }>(
        "select data->>'title' title from event where session_ulid = $1 and turn_id = $2 and type = 'tool.started'",
        [session, data["inputId"]],
      );
      return Number(stamps(rows[0]?.title ?? "")[0]! - called) / 1e6;
    };
    await once();
    return {
      async floor() {
        const samples: number[] = [];
        for (let n = 0; n < inputs; n += 1) samples.push(await raw.signalToActivity());
        return latencies(samples);
      },
      async product() {
        const samples: number[] = [];
        for (let n = 0; n < inputs; n += 1) samples.push(await once());
        return latencies(samples);
      },
      async close() {
        await raw.close();
        await site.close();
      },
    };
  },
};
