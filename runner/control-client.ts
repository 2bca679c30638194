import { type ChildProcess, spawn as spawnProcess } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Owner, RunnerCommand, RunnerConnection, RunnerControl, RunnerNotice, RunnerReply, RunnerSpec } from "../contracts/runner-protocol.ts";
import { lineReader } from "../providers/json-lines.ts";
import { exitCodes } from "./exit-codes.ts";
import { standbyRunners } from "./standby.ts";

/** Why there is no connection. */
export class RunnerGone extends Error {
  /** `fenced`: it lives, under a higher epoch; `superseded`: it was not even started, for the same reason */
  readonly code: "fenced" | "superseded" | "closing" | "gone" | "spawn_failed";
  constructor(code: RunnerGone["code"], message: string) {
    super(message);
    this.name = "RunnerGone";
    this.code = code;
  }
}

/** What a runner gets of our environment; everything else goes only to the agent, by the launch spec. */
const allowed = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "NODE_COMPILE_CACHE"];
const spawnMs = 30_000;
/** A living runner answers each command but a prompt in milliseconds. One that is stopped or stuck still accepts connections. */
const answerSeconds = 5;

/**
 * @param options.nodePath the Node that runs runners; `mainPath` is `runner/main.ts`
 * @param options.env where the allow list is taken from
 * @param options.standbyLog keep processes ready for the next sessions; what they print goes to this file. Default: none is kept
 */
export function runnerControl(options: RunnerProgram & { standbyLog?: string }): RunnerControl {
  const { standbyLog } = options;
  const take = standbyLog === undefined ? () => null : standbyRunners(() => startProcess(options, "--standby", standbyLog));
  return { spawn: (spec, started) => spawnRunner(options, spec, take(), started), attach };
}

interface RunnerProgram {
  nodePath: string;
  mainPath: string;
  env: NodeJS.ProcessEnv;
}

/** Detached: it outlives us. Its errors go to a file, so that no pipe of ours can break. */
function startProcess({ nodePath, mainPath, env }: RunnerProgram, argument: string, log: string): ChildProcess {
  const errors = openSync(log, "a", 0o600);
  const child = spawnProcess(nodePath, ["--max-semi-space-size=1", mainPath, argument], {
    detached: true,
    stdio: [argument === "--standby" ? "pipe" : "ignore", "ignore", errors],
    cwd: "/",
    env: Object.fromEntries(allowed.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]]))),
  });
  closeSync(errors);
  child.unref();
  return child;
}

async function spawnRunner(
  program: RunnerProgram,
  spec: RunnerSpec,
  ready: ChildProcess | null,
  started: () => Promise<void> = async () => undefined,
): Promise<RunnerConnection> {
  const { sessionUlid, runnerId } = spec.launch;
  mkdirSync(spec.dir, { recursive: true, mode: 0o700 });
  const specFile = join(spec.dir, `spec-${runnerId}.json`);
  writeFileSync(specFile, JSON.stringify(spec), { mode: 0o600 });
  const child = ready ?? startProcess(program, specFile, join(spec.dir, "runner.log"));
  ready?.stdin?.end(`${specFile}\n`);
  let ended: string | null = null;
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended ??= code === exitCodes.fenced ? "fenced" : code === exitCodes.locked ? "another runner holds the session" : `exit ${code ?? signal}`;
  });

  await started();
  for (const end = performance.now() + spawnMs; performance.now() < end; await sleep(5)) {
    try {
      return await attach({ socketPath: spec.socketPath, sessionUlid, runnerId, epoch: spec.epoch, owner: spec.owner });
    } catch (error) {
      // Gone: not there yet, or still the socket of a predecessor that is on its way out.
      if (!(error instanceof RunnerGone) || error.code === "fenced" || (error.code === "closing" && ended !== null)) throw error;
    }
    if (ended !== null) break;
  }
  rmSync(specFile, { force: true });
  if (ended === "fenced") throw new RunnerGone("superseded", "a higher epoch was here");
  throw new RunnerGone("spawn_failed", `the runner did not answer: ${ended ?? `nothing in ${spawnMs / 1000} s`}; see ${join(spec.dir, "runner.log")}`);
}

/** Errors: RunnerGone `gone` when nothing of that name listens or answers, `fenced`, `closing`. */
async function attach(a: { socketPath: string; sessionUlid: string; runnerId: string } & Owner): Promise<RunnerConnection> {
  const socket = await new Promise<Socket>((resolve, reject) => {
    const made = connect({ path: a.socketPath }, () => {
      made.off("error", failed);
      resolve(made);
    });
    const failed = (error: Error): void => reject(new RunnerGone("gone", error.message));
    made.once("error", failed);
  });
  const connection = over(socket, a);
  const reply = await connection.request({ cmd: "attach", sessionUlid: a.sessionUlid, runnerId: a.runnerId });
  if (reply.ok) return connection;
  connection.detach();
  throw new RunnerGone(reply.error === "fenced" || reply.error === "closing" ? reply.error : "gone", reply.message);
}

function over(socket: Socket, a: { socketPath: string; sessionUlid: string; runnerId: string } & Owner): RunnerConnection {
  const open = new Map<number, { resolve(reply: RunnerReply): void; reject(error: Error): void }>();
  const listeners: ((notice: RunnerNotice | null) => void)[] = [];
  const missed: RunnerNotice[] = [];
  let nextId = 1;
  let gone = false;
  let why = "the connection to the runner ended";

  function receive(line: string): void {
    let message: RunnerReply | RunnerNotice;
    try {
      message = JSON.parse(line) as RunnerReply | RunnerNotice;
    } catch {
      return void socket.destroy();
    }
    if ("notice" in message) {
      // `closing` may come before anybody listens, and is not said twice.
      if (listeners.length === 0 && message.notice === "closing") missed.push(message);
      for (const listener of listeners) listener(message);
      return;
    }
    open.get(message.id)?.resolve(message);
    open.delete(message.id);
  }

  const reader = lineReader({
    capBytes: 32 << 20,
    line: receive,
    tooLong: () => {
      socket.destroy();
    },
  });
  socket.on("data", (piece) => reader.push(piece));
  socket.on("error", () => undefined);
  socket.on("close", () => {
    gone = true;
    for (const waiting of open.values()) waiting.reject(new RunnerGone("gone", why));
    open.clear();
    for (const listener of listeners) listener(null);
  });

  const connection: RunnerConnection = {
    runnerId: a.runnerId,
    request(command: RunnerCommand) {
      if (gone) return Promise.reject(new RunnerGone("gone", "the connection to the runner has ended"));
      const id = nextId++;
      const answered = new Promise<RunnerReply>((resolve, reject) => {
        open.set(id, { resolve, reject });
        socket.write(JSON.stringify({ id, epoch: a.epoch, owner: a.owner, ...command }) + "\n");
      });
      // A prompt's answer waits for the agent's handshake.
      if (command.cmd === "prompt") return answered;
      let left = answerSeconds;
      // Second by second: if it was us who were frozen, that counts as one, and the answer that lies there is read before the next.
      const clock = setInterval(() => {
        if (--left > 0) return;
        why = `the runner did not answer ${command.cmd} in ${answerSeconds} s`;
        socket.destroy();
      }, 1_000);
      return answered.finally(() => clearInterval(clock));
    },
    async status() {
      const reply = await connection.request({ cmd: "status" });
      if (!reply.ok) throw new RunnerGone(reply.error === "fenced" || reply.error === "closing" ? reply.error : "gone", reply.message);
      return reply.status;
    },
    onNotice(listener) {
      listeners.push(listener);
      for (const notice of missed.splice(0)) queueMicrotask(() => listener(notice));
      if (gone) queueMicrotask(() => listener(null));
    },
    detach() {
      socket.destroy();
    },
    again: () => attach(a),
  };
  return connection;
}
