import { median, number, type Figures, type Result } from "./benchmark.ts";

/** What a run of the benchmarks leaves behind, as JSON. */
export interface Report {
  at: string;
  commit: string;
  machine: string;
  results: Result[];
}

/** For people: a Markdown table of medians with their ranges, then the targets. */
export function table(report: Report): string {
  const lines = [
    `${report.at}, commit ${report.commit}, ${report.machine}`,
    "",
    "| benchmark | figure | floor: median (range) | Baton: median (range) | ratio |",
    "|---|---|---|---|---|",
  ];
  for (const result of report.results) {
    for (const figure of figureNames(result)) {
      const floor = valuesOf(result.floor, figure);
      const product = valuesOf(result.product, figure);
      const ratio = floor.length && product.length ? number(median(product.map((value, at) => value / (floor[at] ?? NaN)))) : "";
      lines.push(
        `| ${result.name}${result.noisy ? " (noisy)" : ""} | ${figure}${result.units[figure] ? `, ${result.units[figure]}` : ""} | ${ranged(floor)} | ${ranged(product)} | ${ratio} |`,
      );
    }
  }
  lines.push("", "| target | measured | |", "|---|---|---|");
  for (const result of report.results)
    for (const target of result.targets)
      lines.push(`| ${result.name}: ${targetText(target)} | ${number(target.measured)} | ${target.met ? "met" : "**missed**"} |`);
  lines.push("", ...report.results.map((result) => `- **${result.name}**: ${result.what}`));
  return lines.join("\n");
}

/** Two runs side by side: each figure's ratio to its own floor where there is one, else its value. */
export function comparison(before: Report, after: Report): string {
  const lines = ["| benchmark | figure | before | after | change |", "|---|---|---|---|---|"];
  for (const next of after.results) {
    const former = before.results.find((result) => result.name === next.name);
    if (!former) continue;
    for (const figure of figureNames(next)) {
      const [a, b] = [former, next].map((result) => comparable(result, figure));
      if (!a || !b || a.of !== b.of) continue;
      lines.push(`| ${next.name} | ${figure} (${a.of}) | ${number(a.value)} | ${number(b.value)} | ${number((b.value / a.value - 1) * 100)} % |`);
    }
  }
  return lines.join("\n");
}

function comparable(result: Result, figure: string): { of: "ratio" | "value"; value: number } | null {
  const floor = valuesOf(result.floor, figure);
  const product = valuesOf(result.product, figure);
  if (product.length === 0) return null;
  if (floor.length === product.length) return { of: "ratio", value: median(product.map((value, at) => value / floor[at]!)) };
  return { of: "value", value: median(product) };
}

const figureNames = (result: Result): string[] => [...new Set([...result.product, ...result.floor].flatMap((figures) => Object.keys(figures)))];
const valuesOf = (rounds: Figures[], figure: string): number[] => rounds.flatMap((figures) => (figure in figures ? [figures[figure]!] : []));

function ranged(values: number[]): string {
  if (values.length === 0) return "";
  return values.length === 1 ? number(values[0]!) : `${number(median(values))} (${number(Math.min(...values))}–${number(Math.max(...values))})`;
}

function targetText(target: Result["targets"][number]): string {
  const limit = target.most === undefined ? `at least ${target.least}` : `at most ${target.most}`;
  return target.of === "ratio" ? `${target.figure} ${limit} × ${target.by ? `the floor's ${target.by}` : "its floor"}` : `${target.figure} ${limit}`;
}
