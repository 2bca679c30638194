import { spawn } from "node:child_process";
import type { ChildProcess, ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { ProviderOpenError } from "../contracts/provider.ts";
import type { LaunchSpec } from "../contracts/provider.ts";
import { textMask } from "../contracts/text-mask.ts";
import { lineReader } from "./json-lines.ts";
import { markerNames, startTicks } from "./process-tree.ts";
import type { ProcessRef } from "./process-tree.ts";

export interface AgentProcess {
  child: ChildProcess;
  pid: number;
  /** Read while the pid was its own for certain; null when it was gone at once. */
  self: ProcessRef | null;
  /** Resolves when the process is gone and what it said has been read. */
  exited: Promise<{ code: number | null; signal: string | null }>;
  /** Resolves when nobody holds its stdout any more, the agent may live on. */
  outputEnded: Promise<void>;
  /** Without its secrets: they are masked before the front of it is cut off. */
  stderrTail(): string;
  send(line: string): void;
}

const lineCapBytes = 8 << 20;
/** Of our answers that the agent has not read. */
const unreadCapBytes = 8 << 20;
const tailCharacters = 16 << 10;

/**
 * Starts the agent with exactly `spec.env` and the marker, in a session of its own: a terminal's Ctrl-C and an agent's
 * `kill 0` stay where they belong.
 * Errors: ProviderOpenError `not_found` when there is no such program or directory, `invalid_request` when its command or
 * environment cannot be handed over.
 */
export async function startAgent(
  spec: LaunchSpec,
  on: { line(text: string): void; tooLong(start: string): void; beforeRead(): Promise<void> | null },
): Promise<AgentProcess> {
  const [program = "", ...args] = spec.command;
  const cannot = (failure: string, error: unknown): ProviderOpenError =>
    new ProviderOpenError({ class: failure, message: `cannot start ${program}: ${(error as Error).message}`, retryable: false });
  const child = ((): ChildProcessByStdio<Writable, Readable, Readable> => {
    try {
      return spawn(program, args, {
        cwd: spec.cwd,
        detached: true,
        stdio: ["pipe", "pipe", "pipe"],
        env: { ...spec.env, [markerNames.session]: spec.sessionUlid, [markerNames.runner]: spec.runnerId },
      });
    } catch (error) {
      // The kernel refuses what it is given: a variable above 128 KB (E2BIG), a NUL in one.
      throw cannot("invalid_request", error);
    }
  })();
  const pid = child.pid ?? -1;
  // Now: until this process hears of its end, nobody else gets the pid.
  const start = startTicks(pid);
  const { stdin, stdout, stderr } = child;
  const mask = textMask(spec.secrets);
  let tail = "";
  stderr.setEncoding("utf8").on("data", (piece: string) => {
    tail += piece;
    if (tail.length > 2 * tailCharacters) tail = mask(tail).slice(-tailCharacters);
  });
  // A write to an agent that just died is no error of ours: `exited` says what happened.
  for (const stream of [stdin, stdout, stderr]) stream.on("error", () => undefined);
  const reader = lineReader({ capBytes: lineCapBytes, line: on.line, tooLong: on.tooLong });
  const drained = (async () => {
    try {
      for await (const piece of stdout) {
        reader.push(piece as Buffer);
        // The disk is full: the agent is read on only when there is room, and stops by itself when its pipe is full.
        await on.beforeRead();
        // An agent that asks and asks and never reads would fill our memory with answers: it is heard again when it listens.
        while (stdin.writableLength > unreadCapBytes && !stdin.destroyed && child.exitCode === null && child.signalCode === null) await sleep(20);
      }
    } catch {
      /* the pipe broke with the agent */
    }
    reader.end();
  })();
  // A signal that we may not send (the agent runs as another user) is an `error` of the child too, and no end of it.
  child.on("error", () => undefined);
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  }).then(async (exit) => {
    // A detached child of the agent may hold its stdout open for ever.
    await Promise.race([drained, sleep(500)]);
    return exit;
  });
  try {
    await once(child, "spawn");
  } catch (error) {
    throw cannot("not_found", error);
  }
  return {
    child,
    pid,
    self: start === null ? null : { pid, start },
    exited,
    outputEnded: drained,
    stderrTail: () => mask(tail),
    send: (line) => {
      if (stdin.writable) stdin.write(line + "\n");
    },
  };
}
