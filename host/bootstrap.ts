import { spawn } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { EventData } from "../contracts/event.ts";
import { BatonError } from "../contracts/failures.ts";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import { textMask } from "../contracts/text-mask.ts";
import type { SessionRow } from "../store/rows.ts";
import { bootId, isAlive, startTicks } from "./boot-identity.ts";
import type { HostDeps } from "./deps.ts";

/** All commands of a session together; below the time that the making of a workspace has. */
const mostMs = 600_000;
/** Of one command's output, the end is kept. Bytes. */
const mostOutput = 65_536;

/**
 * Runs a session's bootstrap commands in its fresh workspace, one after the other, each a line for `sh -c`. One that has succeeded is not
 * run again; one that a killed worker left running is ended first. Error: BatonError with the command and the end of its output.
 */
export async function bootstrap(deps: HostDeps, session: SessionRow): Promise<void> {
  const { bootstrap: lines = [] } = (session.args["workspace"] ?? {}) as { bootstrap?: string[] };
  if (lines.length === 0) return;
  const done = await endedBefore(deps, session.sessionUlid);
  const until = performance.now() + mostMs;
  for (const [at, line] of lines.entries()) {
    const itemId = `bootstrap/${at + 1}`;
    const before = done.get(itemId);
    if (before?.status === "completed") continue;
    // Tried ahead of its turn and failed: asked for again, it is the same failure.
    if (before) throw failed(at, line, before.exitCode ?? null, before.output ?? "", false);
    await append(deps, session, `${itemId}:started`, { type: "command.started", itemId, data: { command: line, cwd: session.worktreePath } });
    const ran = await run(deps, session, line, Math.max(1, until - performance.now()));
    const status = ran.exitCode === 0 ? "completed" : "failed";
    const data = { status, ...(ran.exitCode === null ? {} : { exitCode: ran.exitCode }), output: ran.output } as const;
    await append(deps, session, `${itemId}:${status}`, { type: "command.completed", itemId, data });
    if (ran.exitCode !== 0) throw failed(at, line, ran.exitCode, ran.output, ran.late);
  }
}

function failed(at: number, line: string, exitCode: number | null, output: string, late: boolean): BatonError {
  const why = late ? `did not end within ${mostMs / 1_000} s` : exitCode === null ? "was ended" : `failed with code ${exitCode}`;
  return new BatonError("CONFLICT_STATE", `Bootstrap command ${at + 1} (${line.slice(0, 200)}) ${why}: ${output.slice(-500).trim() || "no output"}`);
}

type Event = Parameters<HostDeps["store"]["events"]["append"]>[1][number]["event"];
const append = (deps: HostDeps, session: SessionRow, key: string, event: Event): Promise<number> =>
  deps.store.events.append(session.sessionUlid, [{ key, event }]);

type Ended = EventData["command.completed"];

/** The commands that have come to an end, by item. */
async function endedBefore(deps: HostDeps, sessionUlid: string): Promise<Map<string, Ended>> {
  const ended = await deps.store.events.read(sessionUlid, { sinceSeq: 0, limit: 1_000, types: ["command.completed"] });
  return new Map(ended.filter((event) => event.itemId?.startsWith("bootstrap/")).map((event) => [event.itemId ?? "", event.data as Ended]));
}

interface Ran {
  exitCode: number | null;
  output: string;
  late: boolean;
}

/** A process group of its own, so that all of it can be ended; written down, so that the next worker can, too. */
async function run(deps: HostDeps, session: SessionRow, line: string, timeoutMs: number): Promise<Ran> {
  const note = join(deps.config.home, "bootstrap", session.sessionUlid);
  await mkdir(join(deps.config.home, "bootstrap"), { recursive: true, mode: 0o700 });
  await endFormer(note);
  const secrets = referenced(deps, session);
  const mask = textMask(secrets.map(([, value]) => value));
  // It waits for its line on stdin until it is written down: killed before that, it reads nothing and ends.
  const child = spawn("sh", ["-c", 'IFS= read -r _ && exec sh -c "$0" < /dev/null', line], {
    cwd: session.worktreePath,
    env: { ...deps.agentEnv, ...Object.fromEntries(secrets) },
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  let output = "";
  let late = false;
  const hear = (text: string): void => {
    output += text;
    // Masked before the front of it is cut off: half of a secret would be found by nobody.
    if (output.length > 2 * mostOutput) output = mask(output).slice(-mostOutput);
  };
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", hear);
  const ended = new Promise<number | null>((resolve) => {
    child.once("error", (error) => {
      output += error.message;
      resolve(127);
    });
    child.once("exit", (code) => resolve(code));
  });
  const closed = new Promise((resolve) => child.once("close", resolve));
  const end = () => {
    late = true;
    endGroup(child.pid);
  };
  const timer = setTimeout(end, timeoutMs);
  // Nobody waits for it any more once the session is closed.
  const looking = setInterval(() => {
    void deps.store.sessions.get(session.sessionUlid).then(
      (now) => now?.closedAt === null || endGroup(child.pid),
      () => undefined,
    );
  }, 2_000);
  child.stdin.on("error", () => undefined);
  if (child.pid !== undefined) await writeFile(note, JSON.stringify({ pid: child.pid, bootId: bootId(), startTicks: startTicks(child.pid) ?? "" }));
  child.stdin.end("go\n");
  const exitCode = await ended;
  clearTimeout(timer);
  clearInterval(looking);
  // What it left in the background would go on in the workspace of an agent that knows nothing of it.
  endGroup(child.pid);
  await Promise.race([closed, sleep(1_000, undefined, { ref: false })]);
  await rm(note, { force: true });
  return { exitCode, output: mask(output).slice(-mostOutput).toWellFormed(), late };
}

function referenced(deps: HostDeps, session: SessionRow): [string, string][] {
  const { env = [] } = session.args["effective"] as EffectiveLaunch;
  return env.flatMap(({ name, valueRef }) => {
    const value = deps.resolveSecret(valueRef);
    return value === undefined ? [] : [[name, value] as [string, string]];
  });
}

/** Ends what a worker that was killed left running for this session. */
async function endFormer(note: string): Promise<void> {
  const written = await readFile(note, "utf8").catch(() => null);
  if (written === null) return;
  try {
    const former = JSON.parse(written) as { pid: number; bootId: string; startTicks: string };
    for (let waited = 0; isAlive(former) && waited < 5_000; waited += 20) {
      endGroup(former.pid);
      await sleep(20);
    }
  } catch {
    // A note that was being written: its command had not been told to go.
  }
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has gone.
  }
}
