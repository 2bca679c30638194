import { execFile, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

export interface Probe {
  ok: boolean;
  /** what the agent says of itself */
  agent?: { name: string; version: string };
  capabilities?: Record<string, unknown>;
  /** names of the ways to log in that it offers */
  authMethods?: string[];
  ms: number;
  /** why not, one sentence */
  say?: string;
}

/**
 * Starts an ACP agent, shakes hands and ends it: no session, no model call. Never throws.
 * `env`: what it gets beside PATH, HOME and LANG; `ownHome`: a HOME that is removed afterwards. Its whole process group is killed at the end.
 */
export async function probeAcp(argv: string[], a: { searchPath: string; env?: Record<string, string>; ownHome?: boolean; timeoutMs?: number }): Promise<Probe> {
  const from = performance.now();
  const directory = await mkdtemp(join(tmpdir(), "baton-probe-"));
  const [program = "", ...args] = argv;
  const child = spawn(program, args, {
    cwd: directory,
    env: { PATH: a.searchPath, HOME: a.ownHome ? directory : homedir(), LANG: "C.UTF-8", TMPDIR: directory, ...a.env },
    stdio: ["pipe", "pipe", "pipe"],
    detached: true,
  });
  child.stdin.on("error", () => {});
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-2_000);
  });
  try {
    const answer = await new Promise<Record<string, unknown> | string>((resolve) => {
      const limit = setTimeout(() => resolve("it did not answer the handshake in time"), a.timeoutMs ?? 15_000);
      const end = (result: Record<string, unknown> | string): void => {
        clearTimeout(limit);
        resolve(result);
      };
      child.once("error", (error) => end(error.message));
      child.once("close", (code, signal) => end(`it ended (${signal ?? code}) before it answered${said.trim() ? `: ${lastLine(said)}` : ""}`));
      let text = "";
      child.stdout.setEncoding("utf8").on("data", (piece: string) => {
        const lines = (text + piece).split("\n");
        text = (lines.pop() ?? "").slice(-1_000_000);
        for (const line of lines) {
          const result = answerOf(line);
          if (result !== null) end(result);
        }
      });
      const params = { protocolVersion: 1, clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false } };
      child.stdin.write(
        `${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params: { ...params, clientInfo: { name: "baton", version: "1" } } })}\n`,
      );
    });
    const ms = Math.round(performance.now() - from);
    return typeof answer === "string" ? { ok: false, ms, say: answer } : { ...understood(answer), ms };
  } finally {
    if (child.pid !== undefined) killGroup(child.pid);
    await rm(directory, { recursive: true, force: true });
  }
}

/** The first line of what `<program> --version` says; null when it says nothing in 5 s. */
export function versionOf(program: string, searchPath: string): Promise<string | null> {
  return new Promise((resolve) => {
    const env = { PATH: searchPath, HOME: homedir(), LANG: "C.UTF-8" };
    execFile(program, ["--version"], { env, timeout: 5_000, killSignal: "SIGKILL", maxBuffer: 65_536 }, (error, stdout) => {
      resolve(error ? null : stdout.trim().split("\n")[0]?.slice(0, 200) || null);
    }).stdin?.end();
  });
}

function answerOf(line: string): Record<string, unknown> | string | null {
  try {
    const message = JSON.parse(line) as { id?: unknown; result?: Record<string, unknown>; error?: { message?: unknown } };
    if (message.id !== 1) return null;
    return message.result ?? `it refused the handshake: ${String(message.error?.message ?? "no reason").slice(0, 300)}`;
  } catch {
    return null; // what is no JSON is talk
  }
}

function understood(answer: Record<string, unknown>): Omit<Probe, "ms"> {
  if (answer["protocolVersion"] !== 1) return { ok: false, say: `it speaks ACP version ${JSON.stringify(answer["protocolVersion"])}, Baton speaks 1` };
  const info = answer["agentInfo"] as { name?: unknown; version?: unknown } | undefined;
  const offered = answer["agentCapabilities"] as { loadSession?: unknown; sessionCapabilities?: { resume?: unknown }; mcpCapabilities?: object } | undefined;
  const methods = Array.isArray(answer["authMethods"]) ? (answer["authMethods"] as { name?: unknown; id?: unknown }[]) : [];
  return {
    ok: true,
    ...(info?.name === undefined ? {} : { agent: { name: String(info.name).slice(0, 200), version: String(info.version ?? "").slice(0, 200) } }),
    capabilities: {
      resume: offered?.sessionCapabilities?.resume !== undefined ? "resume" : offered?.loadSession === true ? "load" : "none",
      mcp: Object.entries(offered?.mcpCapabilities ?? {}).flatMap(([name, there]) => (there === true ? [name] : [])),
    },
    authMethods: methods.map((method) => String(method.name ?? method.id ?? "").slice(0, 100)).slice(0, 20),
  };
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.slice(0, 300) ?? "";
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // gone already
  }
}
