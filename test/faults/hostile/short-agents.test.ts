import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { acpDriver } from "../../../providers/acp.ts";
import { killUntilNone, lives, startTicks } from "../../../providers/process-tree.ts";
import { newUlid } from "../../../providers/ulid.ts";
import { temporaryDirectory } from "../../support/temp-directory.ts";
import { agentProcesses } from "../support/auditor.ts";

const agents = process.env["BATON_TEST_FULL"] === "1" ? 1_000 : 300;
/** Of every agent that was started, also when its test failed: nothing of them stays. */
const launched: string[] = [];
afterAll(() => agentProcesses(launched).forEach(({ pid }) => process.kill(pid, "SIGKILL")));
const cwd = temporaryDirectory();
/** Leaves a child in a session of its own behind, answers the handshake and one prompt, and ends in one of three ways. */
const shortAgent = (n: number): string => `
setsid sh -c 'sleep 1000 & sleep 1000' </dev/null >/dev/null 2>&1 &
answer() { read -r line; printf '{"jsonrpc":"2.0","id":%s,"result":%s}\\n' "$1" "$2"; }
answer 0 '{"protocolVersion":1}'
answer 1 '{"sessionId":"s"}'
answer 2 '{"stopReason":"end_turn","usage":{"inputTokens":1}}'
${["exit 0", "kill -9 $$", "trap '' TERM; sleep 1000"][n % 3]}
`;

async function oneAgent(n: number): Promise<string> {
  const sessionUlid = newUlid();
  launched.push(sessionUlid);
  const session = await acpDriver.open(
    {
      sessionUlid,
      runnerId: newUlid(),
      provider: "acp",
      command: ["sh", "-c", shortAgent(n)],
      cwd,
      env: { PATH: process.env["PATH"] ?? "" },
      permissionMode: "ask",
      stallMs: 60_000,
    },
    { write: () => undefined, raw: () => ({ file: "", offset: 0, bytes: 0 }) },
  );
  const { outcome } = await session.prompt("T1", "I1", "go");
  await session.close(20);
  await session.exited;
  return outcome === "completed" ? sessionUlid : `${n}: ${outcome}`;
}

function zombieChildren(): string[] {
  return readdirSync("/proc").filter((name) => {
    try {
      const [state, parent] = readFileSync(`/proc/${name}/stat`, "latin1").split(") ").at(-1)?.split(" ") ?? [];
      return state === "Z" && Number(parent) === process.pid;
    } catch {
      return false;
    }
  });
}

test(`${agents} short agents, each with a child that outlives it, leave no process and no zombie (row 8)`, async () => {
  const sessions: string[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (next < agents) sessions.push(await oneAgent(next++));
    }),
  );
  expect(sessions.filter((one) => one.includes(":"))).toEqual([]);
  expect(new Set(sessions).size).toBe(agents);
  expect(agentProcesses(sessions)).toEqual([]);
  expect(zombieChildren()).toEqual([]);
}, 400_000);

test("a stranger that got the pid of a process that ended is neither seen nor killed (row 8)", async () => {
  const stranger = spawn("sleep", ["600"], { stdio: "ignore" });
  const pid = stranger.pid ?? -1;
  try {
    const start = startTicks(pid) ?? "";
    const ended = { pid, start: String(Number(start) - 1) };
    let looks = 0;
    expect(lives(ended)).toBe(false);
    expect(await killUntilNone(() => (looks++ === 0 ? [ended] : []), 2_000)).toEqual([]);
    expect(lives({ pid, start })).toBe(true);
    const gone = once(stranger, "exit");
    expect(await killUntilNone(() => [{ pid, start }].filter(lives), 5_000)).toEqual([]);
    expect(await gone).toEqual([null, "SIGKILL"]);
  } finally {
    stranger.kill("SIGKILL");
  }
});
