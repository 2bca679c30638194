import { corpus } from "./corpus.ts";
import { newCounters } from "./counters.ts";
import { openLane, type Lane } from "./lane.ts";
import { type Plan, planOf } from "./plan.ts";
import { runPlan } from "./run-plan.ts";

/** BATON_MODEL_SEED: exactly this plan, by its seed or by its name in the corpus. BATON_MODEL_SEEDS: so many fresh ones beside the corpus. */
const only = process.env["BATON_MODEL_SEED"];
const fresh = Number(process.env["BATON_MODEL_SEEDS"] ?? (process.env["BATON_TEST_FULL"] === "1" ? 30 : 5));
const first = Date.now() % 1_000_000_000;
const all = (): Plan[] => [...corpus, ...Array.from({ length: fresh }, (_, n) => planOf(first + n))];
const plans = only === undefined ? all() : [corpus.find((plan) => plan.seed === only) ?? planOf(Number(only))];

/** Plans that run side by side, each on a stack of its own: so that one seed alone says all that happens. */
const lanes = Math.min(3, plans.length);
/** A run that fails this often has said enough. */
const enough = 3;

const met = newCounters();
const open = new Set<Lane>();
async function close(lane: Lane | null): Promise<void> {
  if (lane && open.delete(lane)) await lane.close();
}

test(
  `${plans.length} plans of random requests and faults end as the model says (row 19)`,
  async () => {
    const waiting = plans.map((plan, n) => ({ plan, run: `m${n}` }));
    const reports: string[] = [];
    const work = async (): Promise<void> => {
      let lane: Lane | null = null;
      try {
        for (let next = waiting.shift(); next !== undefined && reports.length < enough; next = waiting.shift()) {
          lane ??= await openLane(met);
          open.add(lane);
          const report = await runPlan(lane, next.plan, next.run, met);
          if (report === "") continue;
          reports.push(report);
          // What went wrong may go on: the next plan gets another stack.
          await close(lane);
          lane = null;
        }
      } finally {
        await close(lane);
      }
    };
    await Promise.all(Array.from({ length: lanes }, work));
    if (reports.length > 0) throw new Error(reports.join("\n\n"));
  },
  120_000 + plans.length * 30_000,
);

// One plan alone need not meet everything.
if (only === undefined)
  describe("and in all of them together", () => {
    test.each(Object.keys(met) as (keyof typeof met)[])("%s", (what) => {
      expect(met[what]).toBeGreaterThan(0);
    });
  });

// After a time-out too.
afterAll(() => Promise.all([...open].map(close)), 60_000);
afterAll(() => console.log(`model test, fresh seeds from ${first}: ${JSON.stringify(met)}`));
