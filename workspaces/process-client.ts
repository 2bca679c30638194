import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import { BatonError, type ErrorCode, type ErrorDetail } from "../contracts/failures.ts";
import type { Workspaces } from "../contracts/workspaces.ts";

export interface GitRequest {
  id: number;
  method: keyof Workspaces;
  argument: unknown;
}
export type GitAnswer = { id: number; value: unknown } | { id: number; error: { message: string; stack?: string; code?: ErrorCode; detail?: ErrorDetail } };

interface Waiting {
  resolve(value: never): void;
  reject(error: Error): void;
}

/**
 * The workspaces of this host, in a small process of their own that is started at the first call and again when it dies. What was
 * asked of one that died is an Error: everything there can be repeated.
 */
export function workspacesInProcess(options: { home: string; environment: Record<string, string | undefined> }): Workspaces & { end(): void } {
  const waiting = new Map<number, Waiting>();
  let child: ChildProcess | null = null;
  let last = 0;

  function start(): ChildProcess {
    const started = fork(join(import.meta.dirname, "process-main.ts"), [options.home], {
      env: options.environment as NodeJS.ProcessEnv,
      execArgv: [],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    started.on("message", (answer: GitAnswer) => {
      const asked = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (asked && "value" in answer) asked.resolve(answer.value as never);
      else if (asked && "error" in answer) asked.reject(errorOf(answer.error));
      if (waiting.size === 0) rest(started);
    });
    const lost = (why: string): void => {
      if (child !== started) return;
      child = null;
      for (const [id, asked] of waiting) {
        waiting.delete(id);
        asked.reject(new Error(`git's process ended: ${why}`));
      }
    };
    started.once("error", (error) => lost(error.message));
    started.once("exit", (code, signal) => lost(String(signal ?? code)));
    return started;
  }

  function ask<T>(method: keyof Workspaces, argument: unknown): Promise<T> {
    child ??= start();
    const to = child;
    to.ref();
    to.channel?.ref();
    const id = ++last;
    return new Promise<T>((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      to.send({ id, method, argument } satisfies GitRequest, (error) => {
        if (error && waiting.delete(id)) reject(new Error(`git's process cannot be asked: ${error.message}`));
      });
    });
  }

  return {
    inspectRepository: (path) => ask("inspectRepository", path),
    prepare: (plan) => ask("prepare", plan),
    capture: (a) => ask("capture", a),
    checkout: (a) => ask("checkout", a),
    diff: (a) => ask("diff", a),
    inspect: (a) => ask("inspect", a),
    purge: (a) => ask("purge", a),
    remove: (plan) => ask("remove", plan),
    end() {
      child?.disconnect();
      child = null;
    },
  };
}

/** An idle one keeps nobody alive. */
function rest(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
}

function errorOf(said: { message: string; stack?: string; code?: ErrorCode; detail?: ErrorDetail }): Error {
  if (said.code !== undefined) return new BatonError(said.code, said.message, said.detail);
  const error = new Error(said.message);
  if (said.stack !== undefined) error.stack = said.stack;
  return error;
}
