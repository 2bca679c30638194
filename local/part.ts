import { spawn } from "node:child_process";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { dieWithParent } from "./die-with-parent.ts";
import { rotate } from "./log-file.ts";
import { startOf, waitGone } from "./process-identity.ts";
import type { ProcessIdentity } from "./process-identity.ts";

export interface StartedPart {
  identity: ProcessIdentity;
  /** What the part said of itself in its `ready {json}` line. */
  ready: Record<string, unknown>;
  /** Resolves, with a few words, when the process is gone. */
  ended: Promise<string>;
  /** TERM, and KILL after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

/**
 * Starts one of Baton's processes and waits for its `ready {json}` line. Its output goes straight to the log file, not through a pipe of ours:
 * a killed supervisor breaks nothing in it. In a process group of its own, so that the terminal's Ctrl-C reaches only the supervisor.
 * Error: it ended before, or was not ready within 60 s; the message has the end of its log.
 */
export async function startPart(a: { script: string; env: Record<string, string | undefined>; log: string; aborted?: AbortSignal }): Promise<StartedPart> {
  rotate(a.log);
  const output = openSync(a.log, "a+", 0o600);
  const from = fstatSync(output).size;
  const [program = process.execPath, ...args] = dieWithParent("TERM", [process.execPath, a.script]);
  const child = spawn(program, args, { detached: true, stdio: ["ignore", output, output], env: a.env });
  const ended = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal === null ? `code ${code}` : `signal ${signal}`));
  });
  try {
    const ready = await readyLine(output, from, ended, a.aborted);
    const pid = child.pid ?? 0;
    const identity = { pid, startedAt: startOf(pid) ?? "" };
    const stop = async (graceMs: number): Promise<void> => {
      child.kill("SIGTERM");
      if (!(await waitGone(identity, graceMs))) child.kill("SIGKILL");
      await ended;
    };
    return { identity, ready, ended, stop };
  } catch (error) {
    child.kill("SIGKILL");
    await ended;
    throw error;
  } finally {
    closeSync(output);
  }
}

async function readyLine(log: number, from: number, ended: Promise<string>, aborted: AbortSignal | undefined): Promise<Record<string, unknown>> {
  let end: string | null = null;
  void ended.then((why) => {
    end = why;
  });
  const deadline = performance.now() + 60_000;
  for (;;) {
    const last = end;
    const text = readFrom(log, from);
    const line = /^ready (\{.*\})$/m.exec(text)?.[1];
    if (line !== undefined) return JSON.parse(line) as Record<string, unknown>;
    if (last !== null) throw new Error(`it ended (${String(last)})\n${text.slice(-2_000)}`);
    if (aborted?.aborted === true) throw new Error("stopped while it started");
    if (performance.now() > deadline) throw new Error(`it was not ready within 60 s\n${text.slice(-2_000)}`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

function readFrom(log: number, from: number): string {
  const size = fstatSync(log).size;
  const buffer = Buffer.alloc(Math.max(0, Math.min(size - from, 1_000_000)));
  return buffer.toString("utf8", 0, readSync(log, buffer, 0, buffer.length, from));
}
