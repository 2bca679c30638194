import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { startAgent } from "../../providers/agent-process.ts";
import { lives, startTicks } from "../../providers/process-tree.ts";
import { stopLadder } from "../../providers/stop-ladder.ts";
import { newUlid } from "../../providers/ulid.ts";

const graceMs = 300;

/** A Node program as an agent that says nothing of note. */
function agent(program: string): { sessionUlid: string; runnerId: string; started: ReturnType<typeof startAgent> } {
  const ids = { sessionUlid: newUlid(), runnerId: newUlid() };
  const spec = {
    ...ids,
    provider: "acp",
    command: [process.execPath, "-e", program],
    cwd: process.cwd(),
    env: {},
    permissionMode: "ask",
    stallMs: 60_000,
  } as const;
  return {
    ...ids,
    started: startAgent({ ...spec, command: [...spec.command] }, { line: () => undefined, tooLong: () => undefined, beforeRead: () => null }),
  };
}

test("a signal that we may not send ends nothing but the ladder's wait: the end of the agent is its real one", async () => {
  for (const [program, code, signal] of [
    // As the wrapper of another user's agent: it goes when its stdin ends.
    ["process.stdin.resume().on('end', () => setTimeout(() => process.exit(7), 50))", 7, null],
    ["setInterval(() => undefined, 60_000)", null, "SIGKILL"],
  ] as const) {
    const { started, ...ids } = agent(program);
    const { child, self, exited } = await started;
    child.kill = () => {
      child.emit("error", Object.assign(new Error("kill EPERM"), { code: "EPERM" }));
      return false;
    };
    expect(await stopLadder({ child, self, exited, ...ids, graceMs })).toEqual([]);
    expect(await exited).toEqual({ code, signal });
  }
});

test("a stranger that got the agent's pid, and what it started, live on", async () => {
  const stranger = spawn("sh", ["-c", "sleep 600 & echo $!; wait"], { stdio: ["ignore", "pipe", "inherit"], detached: true });
  try {
    const below = Number(await new Promise<Buffer>((said) => stranger.stdout.once("data", said)));
    const pid = stranger.pid ?? -1;
    const found = [pid, below].map((one) => ({ pid: one, start: startTicks(one) ?? "" }));
    const self = { pid, start: String(Number(found[0]?.start) - 1) };
    const child = { pid, stdin: null, kill: () => false } as unknown as ChildProcess;
    expect(await stopLadder({ child, self, exited: Promise.resolve(), sessionUlid: newUlid(), runnerId: newUlid(), graceMs })).toEqual([]);
    expect(found.map(lives)).toEqual([true, true]);
  } finally {
    process.kill(-(stranger.pid ?? 0), "SIGKILL");
  }
});

test("an agent is known by its start, also when it has ended", async () => {
  const { started } = agent("");
  const { pid, self, exited } = await started;
  await exited;
  expect(self).toEqual({ pid, start: expect.stringMatching(/^[0-9]+$/) });
});
