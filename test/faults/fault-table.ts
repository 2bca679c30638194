import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { faultRows } from "./matrix.ts";

const root = join(import.meta.dirname, "..", "..");

/** The tests' own result, as jest writes it with --json. */
export interface JestReport {
  testResults: { name: string; assertionResults: { title: string; fullName: string; status: string; duration?: number | null }[] }[];
}

interface Shown {
  file: string;
  title: string;
  status: string;
}

/** Rows that a title names: `… (row 9)`, `… (rows 9, 11)`. */
export const rowsOf = (title: string): number[] => [...title.matchAll(/\(rows? ([\d, ]+)\)/g)].flatMap((found) => found[1]!.split(",").map(Number));

/** The table of docs/faults.md: fault, promise, the tests that show it, and how they went. */
export function faultTable(report: JestReport, about: { at: string; runs: number; failures: number }): string {
  const tests: Shown[] = report.testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map((one) => ({ file: name.replace(`${root}/`, ""), title: one.fullName, status: one.status })),
  );
  const lines = [
    "# What goes wrong, and what holds",
    "",
    "Made by `npm run test:faults`; do not edit. Each row is shown by tests with real processes, a real Temporal, Postgres and git.",
    "",
    `Last run: ${about.at}, ${about.runs} ${about.runs === 1 ? "run" : "runs"} of the suite, ${about.failures} failures.`,
    "",
    "| row | what goes wrong | what holds | shown by | last result |",
    "|---|---|---|---|---|",
  ];
  for (const { row, fault, promise } of faultRows) {
    const shown = tests.filter((test) => rowsOf(test.title).includes(row));
    const files = [...new Set(shown.map((test) => test.file))].map((file) => `\`${file}\``).join(", ");
    lines.push(`| ${row} | ${fault} | ${promise} | ${files || "**nothing**"} | ${resultOf(shown)} |`);
  }
  lines.push("", "## The tests", "");
  for (const { row, fault } of faultRows) {
    lines.push(`${row}. ${fault}`);
    for (const test of tests.filter((one) => rowsOf(one.title).includes(row))) lines.push(`   - ${test.status}: ${test.title.replaceAll("|", "\\|")}`);
  }
  return `${lines.join("\n")}\n`;
}

function resultOf(shown: Shown[]): string {
  const passed = shown.filter((test) => test.status === "passed").length;
  if (shown.length === 0) return "not shown";
  return passed === shown.length ? `${passed} passed` : `**${shown.length - passed} of ${shown.length} not passed**`;
}

/** Which rows the sources of the tests name, without running them. */
export function namedRows(folder = join(root, "test")): Set<number> {
  const rows = new Set<number>();
  for (const entry of readdirSync(folder, { recursive: true, encoding: "utf8" }))
    if (entry.endsWith(".ts") && !entry.endsWith("fault-table.ts") && !entry.endsWith("matrix.test.ts"))
      for (const row of rowsOf(readFileSync(join(folder, entry), "utf8"))) rows.add(row);
  return rows;
}
