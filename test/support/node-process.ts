import { spawn } from "node:child_process";
import { dieWithParent } from "../../local/die-with-parent.ts";
import { startOf } from "../../local/process-identity.ts";
import { until } from "./until.ts";

export interface NodeProcess {
  pid: number;
  /** All of its stdout and stderr so far. */
  output(): string;
  /** Waits for a line of the output. */
  line(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>;
  signal(name: NodeJS.Signals): void;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

const live = new Set<NodeProcess>();

/** Runs one of our `.ts` files as a real process with this Node. It dies with jest; `endNodeProcesses` ends the rest after a file. */
export function nodeProcess(script: string, a: { args?: string[]; env?: Record<string, string>; cwd?: string } = {}): NodeProcess {
  const [program = process.execPath, ...args] = dieWithParent("KILL", [process.execPath, script, ...(a.args ?? [])]);
  const child = spawn(program, args, {
    cwd: a.cwd,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], XDG_CACHE_HOME: process.env["XDG_CACHE_HOME"], ...a.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (piece: string) => {
      text += piece;
    });
  const started: NodeProcess = {
    pid: child.pid ?? -1,
    output: () => text,
    line: (pattern, timeoutMs = 30_000) =>
      until(`${pattern} in the output of ${script}`, () => text.match(pattern), timeoutMs).catch((error: Error) => {
        throw new Error(`${error.message}\n${text.slice(-4_000)}`);
      }),
    signal: (name) => {
      child.kill(name);
    },
    ended: new Promise((resolve) =>
      child.once("close", (code, signal) => {
        live.delete(started);
        resolve({ code, signal });
      }),
    ),
  };
  live.add(started);
  return started;
}

/** Kills every process that `nodeProcess` started and that still lives. For `afterAll`. */
export async function endNodeProcesses(): Promise<void> {
  await Promise.all(
    [...live].map((one) => {
      one.signal("SIGKILL");
      return one.ended;
    }),
  );
}

/** Is there a (non-zombie) process with this pid? */
export function pidLives(pid: number): boolean {
  return startOf(pid) !== null;
}
