import { demoArguments } from "./arguments.ts";
import { connectPm, type PmClient } from "../client/pm-client.ts";
import { report } from "./report.ts";
import { type DemoResult, runDemo } from "./run-demo.ts";
import { makeScratchProject, type ScratchProject } from "./scratch-project.ts";

const stop = new AbortController();
class Stopped extends Error {}

async function main(): Promise<number> {
  const { json, keep, timeoutSeconds, times } = demoArguments();
  const url = process.env["BATON_URL"],
    token = process.env["BATON_TOKEN"];
  if (!url || !token) throw new Error('BATON_URL and BATON_TOKEN are not set: the demo needs a running Baton. "npm run demo" sets both.');
  const pm = await connectPm(url, token);
  try {
    for (let n = 1; n <= times; n += 1) {
      const result = await once(pm, { json, keep, timeoutSeconds });
      console.log(json ? JSON.stringify(result, null, times === 1 ? 2 : 0) : report(result));
      if (!result.ok) return 1;
      if (times > 1 && !json) console.log(`\n${n} of ${times} demos approved`);
    }
    return 0;
  } finally {
    await pm.close().catch(() => {});
  }
}

/** One demo in a scratch repository of its own. */
async function once(pm: PmClient, a: { json: boolean; keep: boolean; timeoutSeconds: number }): Promise<DemoResult> {
  const limit = setTimeout(() => stop.abort(new Error(`The demo did not end within ${a.timeoutSeconds} s and was aborted.`)), a.timeoutSeconds * 1000);
  let project: ScratchProject | null = null;
  try {
    project = await makeScratchProject(process.env);
    return await runDemo({ pm, project, print: a.json ? () => {} : (line) => console.log(line), signal: stop.signal });
  } finally {
    clearTimeout(limit);
    if (project && a.keep) console.error(`The scratch repository is kept: ${project.path}`);
    else await project?.remove();
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
