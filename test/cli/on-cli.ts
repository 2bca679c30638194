import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onStack } from "../faults/support/on-stack.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";

export const checkout = join(import.meta.dirname, "../..");
export const main = join(checkout, "cli/main.ts");

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Our commands, and a stack with a gateway that they find as they find a Baton that runs: by its home. */
export function onCli() {
  const scratch = temporaryDirectory();
  const on = Object.assign(onStack({ start: ["engine", "host"] }), {
    /** the gateway's address, and the local operator's credential */
    url: "",
    token: "",
    /** where the commands are run, with nothing of ours in it; also their HOME */
    scratch,
    /** runs `baton` with these words until its end */
    baton: (args: string[], a: { env?: Record<string, string>; cwd?: string; input?: string } = {}): Promise<Ended> =>
      new Promise((resolve) => {
        const env = { PATH: process.env["PATH"], HOME: scratch, BATON_HOME: on.stack.home, ...a.env };
        const child = execFile(process.execPath, [main, ...args], { env, cwd: a.cwd ?? scratch }, (_, stdout, stderr) =>
          resolve({ code: child.exitCode, stdout, stderr }),
        );
        child.stdin?.end(a.input ?? "");
      }),
  });
  beforeAll(async () => {
    on.url = (await on.stack.startGateway()).url;
    const tokenFile = join(on.stack.home, "token");
    on.token = readFileSync(tokenFile, "utf8").trim();
    const { databaseUrl } = on.stack;
    const where = {
      url: new URL(on.url).origin,
      databaseUrl,
      temporalAddress: on.stack.env["TEMPORAL_ADDRESS"],
      instance: on.stack.env["BATON_INSTANCE"],
      hostId: "host1",
    };
    writeFileSync(
      join(on.stack.home, "run.json"),
      JSON.stringify({ pid: process.pid, ready: true, tokenFile, parts: { engine: { pid: on.engine.pid } }, ...where }),
    );
  }, 60_000);
  return on;
}

/** What a command printed as JSON. */
export const json = (text: string) => JSON.parse(text) as Record<string, unknown>;
