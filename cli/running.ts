import { readFileSync } from "node:fs";
import { join } from "node:path";
import { connectPm, NoBaton, type PmClient } from "../client/pm-client.ts";
import { readConfig } from "../contracts/config.schema.ts";
import { Usage } from "./exit-codes.ts";

export type Environment = Record<string, string | undefined>;

/** What of `run.json` the command line needs. */
export interface Running {
  url: string;
  token: string;
  databaseUrl?: string;
  temporalAddress?: string;
  instance?: string;
  hostId?: string;
}

/** The Baton to talk to: BATON_URL and BATON_TOKEN, else the one that runs on this home. Error: NoBaton or Usage, what to do. */
export function findRunning(env: Environment): Running {
  if (env["BATON_URL"]) {
    if (!env["BATON_TOKEN"]) throw new NoBaton("BATON_URL is set and BATON_TOKEN is not: set both, or neither.");
    if (!/^https?:$/.test(URL.parse(env["BATON_URL"])?.protocol ?? ""))
      throw new Usage(`BATON_URL is no address of a Baton: "${env["BATON_URL"]}". It looks like http://127.0.0.1:7717.`);
    return { url: env["BATON_URL"], token: env["BATON_TOKEN"] };
  }
  const { home } = readConfig(env);
  const run = readRun(join(home, "run.json"));
  if (run === null || !lives(run.pid)) throw new NoBaton(`No Baton runs on ${home}: start one with "npm start".`);
  if (!run.ready) throw new NoBaton(`The Baton on ${home} is starting or stopping: try again in a moment.`);
  const { url, databaseUrl, temporalAddress, instance, hostId } = run;
  return { url, token: env["BATON_TOKEN"] || readFileSync(run.tokenFile, "utf8").trim(), databaseUrl, temporalAddress, instance, hostId };
}

/** Opens the door of the Baton to talk to, for as long as `use` takes. */
export async function withBaton<T>(env: Environment, use: (pm: PmClient, running: Running) => Promise<T>): Promise<T> {
  const running = findRunning(env);
  const pm = await connectPm(running.url, running.token);
  try {
    return await use(pm, running);
  } finally {
    await pm.close().catch(() => {});
  }
}

function readRun(file: string): (Required<Omit<Running, "token">> & { pid: number; ready: boolean; tokenFile: string }) | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as ReturnType<typeof readRun>;
  } catch {
    return null;
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
