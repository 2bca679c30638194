import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endNodeProcesses, nodeProcess } from "../support/node-process.ts";
import type { NodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { endProcessesOf, main, processesOf, sharedCache, slowGo } from "./support.ts";

const directory = temporaryDirectory();
const demo = join(main, "..", "demo.ts");

afterAll(async () => {
  endProcessesOf(directory); // first: whoever is left holds the output of those that the next one waits for
  await endNodeProcesses();
});

/** Waits for its end; `late` when it does not come, so that a failure says what is left. */
const endOf = (one: NodeProcess): Promise<unknown> =>
  Promise.race([one.ended.then(({ code }) => (code === null ? "by signal" : "ended")), sleep(45_000, "late", { ref: false })]);

function own(name: string): { home: string; env: Record<string, string> } {
  const home = join(directory, name);
  mkdirSync(home, { mode: 0o700 });
  return { home, env: { ...sharedCache, HOME: home, BATON_HOME: join(home, "baton"), BATON_PORT: "0", TMPDIR: home } };
}

test("a signal at any moment of the start ends all of it", async () => {
  const left: Record<string, unknown> = {};
  for (const [index, delay] of [200, 600, 1_200, 2_000, 3_000, 4_500, 6_000].entries()) {
    const signal = index % 2 === 0 ? "SIGINT" : "SIGTERM";
    const { home, env } = own(`at-${delay}`);
    const one = nodeProcess(main, { env });
    await sleep(delay);
    one.signal(signal);
    const end = await endOf(one);
    // Before its first line of ours runs, Node itself ends by the signal.
    if (end === "late" || processesOf(home).length > 0 || existsSync(join(home, "baton", "run.json")))
      left[`${signal} after ${delay} ms`] = { end, output: one.output(), processes: processesOf(home) };
    if (!one.output().includes("host is up")) expect(one.output()).not.toContain("agents are told");
  }
  expect(left).toEqual({});
}, 300_000);

test("a signal while Temporal is built ends the builder and what it started", async () => {
  const { home, env } = own("builds");
  const one = nodeProcess(main, { env: { ...env, ...slowGo(home) } });
  await one.line(/Building the Temporal/);
  await sleep(300);
  expect(processesOf(home).some((line) => line.includes("sleep 4321"))).toBe(true);
  one.signal("SIGTERM");
  expect([await endOf(one), processesOf(home), existsSync(join(home, "baton", "run.json"))]).toEqual(["ended", [], false]);
}, 120_000);

test("an interrupted demo leaves neither a process nor its home", async () => {
  const { home, env } = own("demo");
  const one = nodeProcess(demo, { env });
  await one.line(/Starting a Baton for the demo/);
  await sleep(2_500);
  one.signal("SIGINT");
  expect([await endOf(one), processesOf(home), readdirSync(home).filter((name) => name.startsWith("baton-demo-"))]).toEqual(["ended", [], []]);
}, 120_000);

test("a second start says at once that it waits, and goes on when the first one dies", async () => {
  const { home, env } = own("second");
  const slow = slowGo(home);
  const first = nodeProcess(main, { env: { ...env, ...slow } });
  await first.line(/Building the Temporal/);
  const second = nodeProcess(main, { env: { ...env, ...slow } });
  await second.line(new RegExp(`Baton \\(pid ${first.pid}\\) is starting or stopping on this home .*waiting`), 10_000);
  expect(second.output()).not.toContain("Building");
  first.signal("SIGKILL");
  await second.line(/Building the Temporal/);
  expect(second.output().match(/waiting/g)).toHaveLength(1);
  second.signal("SIGINT");
  // What a builder started outlives a supervisor that is killed: nobody is there to end it.
  const left = (): string[] => processesOf(home).filter((line) => !line.includes("sleep 4321"));
  expect([await endOf(second), await endOf(first), left()]).toEqual(["ended", "by signal", []]);
}, 120_000);
