import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Benchmark, measure, type Result } from "./benchmark.ts";
import { benchmarks } from "./cases.ts";
import { openGround } from "./ground.ts";
import { comparison, type Report, table } from "./report.ts";

/** What the caller can mend: said without a stack. */
class BadArguments extends Error {}

const usage = `Usage: npm run bench -- [name …] [--rounds n] [--json file] [--list]
       npm run bench -- --compare before.json after.json
Floor and product are measured in turn, 5 times; medians, ranges and ratios are printed. The soak runs only by name.`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { rounds: { type: "string" }, json: { type: "string" }, list: { type: "boolean" }, compare: { type: "boolean" }, help: { type: "boolean" } },
  });
  if (values.help) return said(usage);
  if (values.list) return said(benchmarks.map((one) => `${one.name.padEnd(12)} ${one.what}`).join("\n"));
  if (values.compare) {
    const [before, after] = positionals.map((file) => JSON.parse(readFileSync(file, "utf8")) as Report);
    if (!before || !after) throw new BadArguments(usage);
    return said(comparison(before, after));
  }
  const chosen = choose(positionals);
  const rounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) throw new BadArguments(`--rounds must be a whole number above 0.\n${usage}`);
  const say = (line: string): void => console.error(line);
  const stop = stopSignal();
  const ground = await openGround(say);
  const results: Result[] = [];
  let failed = 0;
  try {
    for (const benchmark of chosen) {
      if (stop.aborted) break;
      try {
        results.push(await measure(benchmark, ground, { say, stop, ...(rounds === undefined ? {} : { rounds }) }));
      } catch (error) {
        // What the others measured is not lost with it.
        failed += 1;
        say(`${benchmark.name}: ${stop.aborted ? String((error as Error).message) : String((error as Error).stack)}`);
      }
    }
  } finally {
    await ground.close();
  }
  const report: Report = { at: new Date().toISOString(), commit: commit(), machine: machine(), results };
  if (values.json) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
  console.log(table(report));
  if (failed > 0 || stop.aborted) return 1;
  return results.every((result) => result.targets.every((target) => target.met)) ? 0 : 2;
}

/** Ctrl-C ends what runs and still closes what it started; a second one means now. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const)
    process.once(name, () => {
      process.once(name, () => process.exit(130));
      controller.abort(new Error(`stopped by ${name}; closing what runs`));
    });
  return controller.signal;
}

function choose(names: string[]): Benchmark[] {
  if (names.length === 0) return benchmarks.filter((one) => one.name !== "soak");
  return names.map((name) => {
    const found = benchmarks.find((one) => one.name === name);
    if (!found) throw new BadArguments(`There is no benchmark "${name}". There are: ${benchmarks.map((one) => one.name).join(", ")}.`);
    return found;
  });
}

function commit(): string {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], { cwd: join(import.meta.dirname, ".."), encoding: "utf8" }).trim();
  } catch {
    return "unknown";
  }
}

function machine(): string {
  return `${cpus().length} × ${cpus()[0]?.model.trim() ?? "CPU"}, ${Math.round(totalmem() / 2 ** 30)} GB, Node ${process.version}`;
}

function said(text: string): number {
  console.log(text);
  return 0;
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof BadArguments || !(error instanceof Error) ? String((error as Error).message ?? error) : error.stack);
  return 1;
});
