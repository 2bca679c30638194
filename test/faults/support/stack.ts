import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execFileSync } from "node:child_process";
import type { Config } from "../../../contracts/config.schema.ts";
import { socketDirectory } from "../../../host/runner-paths.ts";
import { freshDatabase } from "../../support/fresh-database.ts";
import type { StopPlan } from "./host-under-test.ts";

const root = join(import.meta.dirname, "..", "..", "..");

/** Real engine and host processes on a database and an instance name of their own. */
export interface Stack {
  readonly home: string;
  readonly databaseUrl: string;
  readonly env: Record<string, string>;
  readonly repository: string;
  /** starts a host worker; resolves when it has printed `ready`, or at once with `standby`; `plain`: the product's own, without stop points */
  startHost(options?: { stop?: StopPlan; fired?: string; standby?: boolean; plain?: boolean }): Promise<ChildProcess>;
  startEngine(): Promise<ChildProcess>;
  startGateway(): Promise<{ process: ChildProcess; url: string }>;
  log(): string;
  close(): Promise<void>;
}

export async function openStack(numbers: Record<string, string> = {}): Promise<Stack> {
  const home = mkdtempSync(join(tmpdir(), "baton-stack-"));
  const database = await freshDatabase();
  // Names queues and workflows in a Temporal that all files share; a worker of jest loads this module anew for each of them.
  const instance = `t${randomBytes(6).toString("hex")}`;
  const repository = join(home, "repository");
  execFileSync("sh", [
    "-c",
    `git init -q -b main "${repository}" && cd "${repository}" && echo hello > README.md && git add . && git -c user.name=t -c user.email=t@localhost commit -qm first`,
  ]);
  const env: Record<string, string> = {
    PATH: process.env["PATH"] ?? "",
    HOME: home,
    LANG: "C.UTF-8",
    BATON_HOME: home,
    BATON_INSTANCE: instance,
    BATON_HOST_ID: "host1",
    BATON_PORT: "0",
    DATABASE_URL: database.url,
    TEMPORAL_ADDRESS: process.env["TEST_TEMPORAL_ADDRESS"] ?? "",
    BATON_HOST_BEAT_MS: "500",
    BATON_HOST_BEAT_TIMEOUT_MS: "6000",
    BATON_HOST_LEASE_MS: "3000",
    BATON_HOST_LEASE_RENEW_MS: "500",
    BATON_STOP_GRACE_MS: "500",
    BATON_KEEP_ALIVE_MS: "60000",
    ...numbers,
  };
  const children: ChildProcess[] = [];
  const logFile = join(home, "processes.log");
  const start = async (file: string, extra: Record<string, string>, wait: boolean): Promise<{ process: ChildProcess; line: string }> => {
    const child = spawn(process.execPath, [join(root, file)], { env: { ...env, ...extra }, stdio: ["ignore", "pipe", openSync(logFile, "a")] });
    children.push(child);
    let out = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    for (let waited = 0; wait && !/^ready /m.test(out); waited += 20) {
      if (child.exitCode !== null || child.signalCode !== null) {
        if (extra["BATON_TEST_STOP"]) break;
        throw new Error(`${file} ended before it was ready:\n${out}\n${readFileSync(logFile, "utf8")}`);
      }
      if (waited > 60_000) throw new Error(`${file} was not ready in 60 s:\n${out}\n${readFileSync(logFile, "utf8").slice(-4_000)}`);
      await sleep(20);
    }
    return { process: child, line: /^ready (.*)$/m.exec(out)?.[1] ?? "{}" };
  };
  return {
    home,
    databaseUrl: database.url,
    env,
    repository,
    startHost: async ({ stop, fired, standby, plain } = {}) =>
      (
        await start(
          plain ? "workers/host.ts" : "test/faults/support/host-under-test.ts",
          stop ? { BATON_TEST_STOP: JSON.stringify(stop), BATON_TEST_FIRED: fired ?? "" } : {},
          !standby,
        )
      ).process,
    startEngine: async () => (await start("workers/engine.ts", {}, true)).process,
    startGateway: async () => {
      const { process: child, line } = await start("mcp-gateway/main.ts", {}, true);
      return { process: child, url: (JSON.parse(line) as { url: string }).url };
    },
    log: () => (existsSync(logFile) ? readFileSync(logFile, "utf8") : ""),
    async close() {
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        child.kill("SIGCONT");
        child.kill("SIGTERM");
        const gone = await Promise.race([
          new Promise((resolve) => child.once("exit", () => resolve(true))),
          sleep(15_000, undefined, { ref: false }).then(() => false),
        ]);
        if (!gone) child.kill("SIGKILL");
      }
      await database.drop();
      rmSync(home, { recursive: true, force: true });
      rmSync(socketDirectory({ home, instance } as Config, process.getuid?.() ?? 0), { recursive: true, force: true });
    },
  };
}
