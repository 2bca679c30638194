import { join } from "node:path";
import { mkdirSync, writeFileSync } from "node:fs";
import type { Site } from "./ground.ts";

const caller = { principal: "local", actor: "@bench" };
let count = 0;

/** The preset of the benchmark's own agent; once per site. */
export function addBenchAgent(site: Site): void {
  mkdirSync(join(site.stack.home, "presets"), { recursive: true });
  writeFileSync(
    join(site.stack.home, "presets", "bench.json"),
    JSON.stringify({
      key: "bench",
      providerType: "acp",
      config: { command: [process.execPath, join(import.meta.dirname, "agent.mjs")] },
      permissions: { mode: "approve-all" },
    }),
  );
}

/** Arguments of a launch whose agent follows `order`. */
export function launchArgs(site: Site, order: Record<string, unknown>) {
  count += 1;
  const taskKey = `BENCH-${count}`;
  return {
    clientRequestId: `${site.stack.env["BATON_INSTANCE"]}-${taskKey}`,
    actor: "@bench",
    taskKey,
    launcherConfigKey: "bench",
    agentHandle: "executor",
    prompt: JSON.stringify(order),
    task: { title: taskKey, repositoryPath: site.stack.repository, projectKey: "BENCH" },
  };
}

/** Launches through the SDK. Returns the session's ULID. */
export async function launch(site: Site, order: Record<string, unknown>): Promise<string> {
  return String((await site.baton.sdk.sessions.launch(caller, launchArgs(site, order))).data["sessionUlid"]);
}

/** One more prompt to a session. */
export const prompt = (site: Site, sessionUlid: string, order: Record<string, unknown>) =>
  site.baton.sdk.sessions.input(caller, { sessionUlid, prompt: JSON.stringify(order) });

export const abort = (site: Site, sessionUlid: string) => site.baton.sdk.sessions.abort(caller, { sessionUlid });

/** ns of the monotonic clock, which all processes of a machine share, in pieces that the agent marked. */
export const stamps = (text: string): bigint[] => [...text.matchAll(/t=(\d+)/g)].map((found) => BigInt(found[1]!));
export const msSince = (stamp: bigint): number => Number(process.hrtime.bigint() - stamp) / 1e6;
