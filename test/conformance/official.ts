import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { run, type Tally } from "./tally.ts";
import { toolFile } from "./tools.ts";

const cli = toolFile("conformance/dist/index.js");

interface Check {
  id: string;
  status: "SUCCESS" | "FAILURE" | "WARNING" | "INFO" | "SKIPPED";
  errorMessage?: string;
}

/** One run of the official suite against `url`. Every check counts; a warning is a failure here; no failure is expected. */
export async function official(name: string, args: string[], url: string, output: string): Promise<Tally> {
  const { code, stdout, stderr } = await run([process.execPath, cli, "server", "--url", url, "-o", output, ...args]);
  const tally: Tally = { name, passed: 0, failures: [] };
  for (const scenario of readdirSync(output)) {
    const checks = JSON.parse(readFileSync(join(output, scenario, "checks.json"), "utf8")) as Check[];
    for (const check of checks) {
      if (check.status === "SUCCESS") tally.passed += 1;
      if (check.status === "FAILURE" || check.status === "WARNING") tally.failures.push(`${scenario} ${check.id}: ${check.errorMessage ?? check.status}`);
    }
  }
  if (code !== 0 && tally.failures.length === 0) tally.failures.push(`the official suite ended with ${code}\n${`${stdout}${stderr}`.slice(-2_000)}`);
  if (tally.passed === 0) tally.failures.push("nothing was checked");
  return tally;
}
