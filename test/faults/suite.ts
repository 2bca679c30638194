import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { faultTable, type JestReport } from "./fault-table.ts";
import { switchOff } from "./switch-off.ts";

/**
 * `npm run test:faults`: the whole fault suite at full length, and its table. `--times n` repeats it (a flake is a bug);
 * `--quick` takes the lengths of `npm test`; `--switched-off` takes each protection away in a copy and wants its test to fail.
 */
const usage = "Usage: npm run test:faults -- [--quick] [--times n] [--switched-off [name …]] [path …]";
const root = join(import.meta.dirname, "..", "..");

process.exitCode = await main().catch((error: unknown) => {
  console.error((error as Error).message);
  return 1;
});

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: "boolean" }, times: { type: "string" }, "switched-off": { type: "boolean" }, help: { type: "boolean" } },
  });
  if (values.help) {
    console.log(usage);
    return 0;
  }
  if (values["switched-off"]) return switchOff(positionals);
  const times = Number(values.times ?? 1);
  if (!Number.isInteger(times) || times < 1) throw new Error(usage);
  let failures = 0;
  let report: JestReport = { testResults: [] };
  for (let n = 1; n <= times; n += 1) {
    if (times > 1) console.log(`\nrun ${n} of ${times}, ${failures} failures so far`);
    report = await run(values.quick === true, positionals);
    for (const { name, assertionResults } of report.testResults)
      for (const one of assertionResults)
        if (one.status === "failed") {
          failures += 1;
          console.log(`FAILED in run ${n}: ${name.replace(`${root}/`, "")} ${one.fullName}`);
        }
  }
  // A part of the suite must not overwrite the table of the whole.
  if (positionals.length === 0)
    writeFileSync(join(root, "docs", "faults.md"), faultTable(report, { at: new Date().toISOString().slice(0, 10), runs: times, failures }));
  console.log(`${failures} failures in ${times} ${times === 1 ? "run" : "runs"}`);
  return failures === 0 ? 0 : 1;
}

async function run(quick: boolean, paths: string[]): Promise<JestReport> {
  const directory = mkdtempSync(join(tmpdir(), "baton-faults-"));
  const file = join(directory, "report.json");
  try {
    const patterns = paths.length > 0 ? paths : ["test/faults/", "test/model/", "test/replays/", "test/workspaces/", "test/local/"];
    const child = spawn(
      process.execPath,
      [
        "--experimental-vm-modules",
        "--disable-warning=ExperimentalWarning",
        join(root, "node_modules/jest/bin/jest.js"),
        "--json",
        "--outputFile",
        file,
        "--testPathPatterns",
        ...patterns,
      ],
      { cwd: root, stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, ...(quick ? {} : { BATON_TEST_FULL: "1" }) } },
    );
    await new Promise((resolve) => child.once("exit", resolve));
    return JSON.parse(readFileSync(file, "utf8")) as JestReport;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
