import { parseArgs } from "node:util";
import { connectPm, type PmClient } from "./pm-client.ts";
import { report } from "./report.ts";
import { runDemo } from "./run-demo.ts";
import { makeScratchProject, type ScratchProject } from "./scratch-project.ts";

const usage = "Usage: npm run demo -- [--json] [--keep] [--timeout seconds]";
const stop = new AbortController();
class Stopped extends Error {}

async function main(): Promise<number> {
  const { json, keep, timeoutSeconds } = readArguments();
  const url = process.env["BATON_URL"],
    token = process.env["BATON_TOKEN"];
  if (!url || !token) throw new Error('BATON_URL and BATON_TOKEN are not set: the demo needs a running Baton. "npm run demo" sets both.');
  const limit = setTimeout(() => stop.abort(new Error(`The demo did not end within ${timeoutSeconds} s and was aborted.`)), timeoutSeconds * 1000);

  let pm: PmClient | null = null,
    project: ScratchProject | null = null;
  try {
    pm = await connectPm(url, token);
    project = await makeScratchProject(process.env);
    const print = json ? () => {} : (line: string) => console.log(line);
    const result = await runDemo({ pm, project, print, signal: stop.signal });
    console.log(json ? JSON.stringify(result, null, 2) : report(result));
    return result.ok ? 0 : 1;
  } finally {
    clearTimeout(limit);
    if (project && keep) console.error(`The scratch repository is kept: ${project.path}`);
    else await project?.remove();
    await pm?.close().catch(() => {});
  }
}

function readArguments(): { json: boolean; keep: boolean; timeoutSeconds: number } {
  try {
    const { values } = parseArgs({ options: { json: { type: "boolean" }, keep: { type: "boolean" }, timeout: { type: "string" } } });
    const timeoutSeconds = Number(values.timeout ?? 300);
    if (!(timeoutSeconds > 0 && timeoutSeconds <= 86_400)) throw new Error("--timeout must be a number of seconds.");
    return { json: values.json === true, keep: values.keep === true, timeoutSeconds };
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${usage}`);
  }
}

for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    if (stop.signal.aborted) process.exit(130); // a second one means: now
    console.error("Stopping; what was started is aborted. Once more to leave at once.");
    stop.abort(new Stopped());
  });
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    if (error instanceof Stopped || stop.signal.reason instanceof Stopped) process.exitCode = 130;
    else {
      console.error(error instanceof Error ? error.message : String(error));
      process.exitCode = 1;
    }
  },
);
