import type { Ground } from "./ground.ts";

/** What one round measured, by name: `p50`, `p99`, `events/s` … The unit is in the benchmark's `units`. */
export type Figures = Record<string, number>;

/** A figure that the project holds itself to. `ratio`: product to the floor of the same round. */
export interface Target {
  figure: string;
  /** `value`: the product's own; `ratio`: the product's through the floor's */
  of: "value" | "ratio";
  /** divide by this figure of the floor instead of the one of the same name */
  by?: string;
  most?: number;
  least?: number;
}

/** A measurement that is set up once and then repeated, floor and product in turn. */
export interface Trial {
  /** the same work without Baton: what the machine and the servers can do */
  floor?(): Promise<Figures>;
  product(): Promise<Figures>;
  close(): Promise<void>;
}

/** One line of the table, or several when it has variants. */
export interface Benchmark {
  name: string;
  /** exact definition, for the reader of the table */
  what: string;
  units: Record<string, string>;
  /** the floor's figure by which a noisy run is told */
  steady?: string;
  targets: Target[];
  /** how often floor and product are measured; default 5 */
  rounds?: number;
  open(ground: Ground): Promise<Trial>;
}

/** All rounds of one benchmark. `noisy`: the floors of its rounds differed by more than a quarter, three times over. */
export interface Result {
  name: string;
  what: string;
  units: Record<string, string>;
  floor: Figures[];
  product: Figures[];
  noisy: boolean;
  targets: (Target & { measured: number; met: boolean })[];
}

const noise = 0.25;

/** Floor, product, floor, product …; repeated as a whole while the floors differ too much to compare with anything. */
export async function measure(benchmark: Benchmark, ground: Ground, a: { rounds?: number; say(line: string): void; stop: AbortSignal }): Promise<Result> {
  const trial = await benchmark.open(ground);
  /** What was begun is left behind at a stop, and what it started is closed with the trial. */
  const unlessStopped = <T>(body: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      body.then(resolve, reject);
      if (a.stop.aborted) reject(a.stop.reason as Error);
      else a.stop.addEventListener("abort", () => reject(a.stop.reason as Error), { once: true });
    });
  try {
    for (let attempt = 1; ; attempt += 1) {
      const floor: Figures[] = [];
      const product: Figures[] = [];
      const rounds = a.rounds ?? benchmark.rounds ?? 5;
      for (let round = 1; round <= rounds; round += 1) {
        if (trial.floor) floor.push(await unlessStopped(trial.floor()));
        product.push(await unlessStopped(trial.product()));
        a.say(`${benchmark.name} ${round}/${rounds}${floor.length ? `  floor ${figuresLine(floor.at(-1))}` : ""}  product ${figuresLine(product.at(-1))}`);
      }
      const noisy = benchmark.steady !== undefined && spread(floor.map((one) => one[benchmark.steady!] ?? NaN)) > noise;
      if (noisy && attempt < 3 && rounds > 1) {
        a.say(`${benchmark.name}: the floors differ by more than ${noise * 100} %: once more`);
        continue;
      }
      const targets = benchmark.targets.map((target) => judged(target, floor, product));
      return { name: benchmark.name, what: benchmark.what, units: benchmark.units, floor, product, noisy, targets };
    }
  } finally {
    await trial.close();
  }
}

function judged(target: Target, floor: Figures[], product: Figures[]): Target & { measured: number; met: boolean } {
  const values = product.map((one, at) => {
    const value = one[target.figure] ?? NaN;
    return target.of === "value" ? value : value / (floor[at]?.[target.by ?? target.figure] ?? NaN);
  });
  const measured = median(values);
  const met = (target.most === undefined || measured <= target.most) && (target.least === undefined || measured >= target.least);
  return { ...target, measured, met };
}

/** (largest − smallest) ÷ median. */
function spread(values: number[]): number {
  return values.length < 2 ? 0 : (Math.max(...values) - Math.min(...values)) / median(values);
}

/** The middle one; of an even number the lower middle. NaN without values. */
export function median(values: number[]): number {
  return percentile(values, 50);
}

/** The smallest value that at least `p` percent of the values do not exceed. */
export function percentile(values: number[], p: number): number {
  if (values.length === 0 || values.some(Number.isNaN)) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)]!;
}

/** `p50` and `p99` of samples, with `max`. */
export function latencies(samples: number[]): Figures {
  return { p50: percentile(samples, 50), p99: percentile(samples, 99), max: Math.max(...samples) };
}

export function number(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en-US") : Number(value.toPrecision(3)).toString();
}

const figuresLine = (figures: Figures | undefined): string =>
  Object.entries(figures ?? {})
    .map(([name, value]) => `${name} ${number(value)}`)
    .join(", ");
