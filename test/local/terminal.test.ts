import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startOf } from "../../local/process-identity.ts";
import { readRunFile } from "../../local/run-file.ts";
import type { RunFile } from "../../local/run-file.ts";
import { endNodeProcesses, nodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";
import { endProcessesOf, main, processesOf, sharedCache, slowGo } from "./support.ts";

const directory = temporaryDirectory();
const start = join(main, "..", "..", "start.mjs");

afterAll(async () => {
  endProcessesOf(directory); // first: whoever is left holds the output of those that the next one waits for
  await endNodeProcesses();
});

function own(name: string): { home: string; env: Record<string, string> } {
  const home = join(directory, name);
  mkdirSync(home, { mode: 0o700 });
  return { home, env: { ...sharedCache, HOME: home, BATON_HOME: join(home, "baton"), BATON_PORT: "0" } };
}

/** start.mjs in a terminal of its own, whose other end `script` (util-linux) holds: killing it closes the terminal. */
function inTerminal(env: Record<string, string>): { terminal: ChildProcess; output(): string; ended: Promise<number | null> } {
  const terminal = spawn("/usr/bin/script", ["-qefc", `exec '${process.execPath}' '${start}'`, "/dev/null"], {
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  let text = "";
  terminal.stdout.setEncoding("utf8").on("data", (piece: string) => {
    text += piece;
  });
  return { terminal, output: () => text, ended: new Promise((resolve) => terminal.once("exit", resolve)) };
}

test("closing the terminal stops Baton in order", async () => {
  const { home, env } = own("closed");
  const file = join(home, "baton", "run.json");
  const { terminal, output } = inTerminal(env);
  await until("it is up", () => output().includes("Baton is up"), 90_000);
  const { pid } = readRunFile(file) as RunFile;
  const seen: string[][] = [];
  terminal.kill("SIGKILL");
  await until(
    "its end",
    () => {
      const run = readRunFile(file);
      if (run !== null) seen.push(Object.keys(run.parts).toSorted());
      return startOf(pid) === null;
    },
    40_000,
  );
  expect(existsSync(file)).toBe(false);
  await until("nothing is left", () => processesOf(home).length === 0);
  // The servers were there when whoever uses them had gone.
  expect(seen).toContainEqual(["postgres", "temporal"]);
  expect(readFileSync(join(home, "baton", "logs", "postgres.log"), "utf8")).toContain("database system is shut down");
}, 180_000);

test("one Ctrl-C at a terminal is one", async () => {
  const { home, env } = own("once");
  const { terminal, output, ended } = inTerminal({ ...env, ...slowGo(home) });
  await until("it builds", () => output().includes("Building the Temporal") && output().includes("Postgres is up"), 60_000);
  terminal.stdin?.write("\u0003");
  expect([await ended, output()]).toEqual([0, expect.stringMatching(/Stopping …[^]*Stopped\./)]);
  expect([processesOf(home), existsSync(join(home, "baton", "run.json"))]).toEqual([[], false]);
}, 120_000);

test("without a terminal a hangup is nothing (nohup npm start &), and an INT for start.mjs alone stops Baton", async () => {
  const { home, env } = own("nohup");
  const one = nodeProcess(start, { env: { ...env, ...slowGo(home) } });
  await one.line(/Postgres is up/, 60_000);
  const { pid } = readRunFile(join(home, "baton", "run.json")) as RunFile;
  for (const process_ of [one.pid, pid]) process.kill(process_, "SIGHUP");
  await sleep(1_500);
  expect([startOf(one.pid), startOf(pid)]).not.toContain(null);
  one.signal("SIGINT");
  expect(await one.ended).toEqual({ code: 0, signal: null });
  expect([one.output().includes("Stopped."), processesOf(home)]).toEqual([true, []]);
}, 120_000);
