import { parseArgs } from "node:util";

const usage = "Usage: npm run demo -- [--json] [--keep] [--timeout seconds] [--times n]";

/** What stands behind `npm run demo --`. Error: what is wrong, and the usage. */
export function demoArguments(): { json: boolean; keep: boolean; timeoutSeconds: number; times: number } {
  try {
    const { values } = parseArgs({ options: { json: { type: "boolean" }, keep: { type: "boolean" }, timeout: { type: "string" }, times: { type: "string" } } });
    const timeoutSeconds = Number(values.timeout ?? 300);
    if (!(timeoutSeconds > 0 && timeoutSeconds <= 86_400)) throw new Error("--timeout must be a number of seconds.");
    const times = Number(values.times ?? 1);
    if (!Number.isInteger(times) || times < 1 || times > 1000) throw new Error("--times must be a whole number from 1 to 1000.");
    return { json: values.json === true, keep: values.keep === true, timeoutSeconds, times };
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${usage}`);
  }
}
