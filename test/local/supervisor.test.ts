import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startOf } from "../../local/process-identity.ts";
import type { RunFile } from "../../local/run-file.ts";
import { endNodeProcesses, nodeProcess } from "../support/node-process.ts";
import type { NodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";

const main = join(import.meta.dirname, "..", "..", "local", "main.ts");
const home = temporaryDirectory();
const env = { BATON_HOME: home, BATON_PORT: "0", BATON_HOST_ID: "supervised" };
const run = (): RunFile => JSON.parse(readFileSync(join(home, "run.json"), "utf8")) as RunFile;
const up = async (): Promise<NodeProcess> => {
  const one = nodeProcess(main, { env });
  await one.line(/Baton is up/, 90_000);
  return one;
};
const partPids = (of: RunFile): number[] => Object.values(of.parts).map((part) => part.pid);

afterAll(endNodeProcesses);

// one story: each step starts from what the former left
test("npm start: one Baton per home, which outlives the death of anything and leaves nothing behind", async () => {
  const first = await up();
  const started = run();
  expect(Object.keys(started.parts).toSorted()).toEqual(["engine", "gateway", "host", "postgres", "temporal"]);
  expect((await fetch(`${started.url}/health`)).status).toBe(200);
  // the host knows where its agents reach the gateway
  expect(readFileSync(`/proc/${started.parts["host"]?.pid}/environ`, "utf8")).toContain(`BATON_GATEWAY_URL=${started.mcpUrl}\0`);

  const second = nodeProcess(main, { env });
  expect(await second.ended).toMatchObject({ code: 0 });
  expect(second.output()).toContain(started.mcpUrl);

  for (const name of ["engine", "postgres", "gateway"]) {
    process.kill(started.parts[name]?.pid ?? 0, "SIGKILL");
    await until(
      `another ${name}`,
      () => {
        const part = run().parts[name];
        return part !== undefined && part.pid !== started.parts[name]?.pid;
      },
      30_000,
    );
  }
  await until("health", async () => (await fetch(`${started.url}/health`).catch(() => null))?.ok, 30_000);

  const before = run();
  first.signal("SIGKILL");
  await first.ended;
  const third = await up();
  expect(partPids(before).filter((pid) => startOf(pid) !== null)).toEqual([]);

  const last = run();
  third.signal("SIGINT");
  expect(await third.ended).toEqual({ code: 0, signal: null });
  expect(partPids(last).filter((pid) => startOf(pid) !== null)).toEqual([]);
}, 240_000);
