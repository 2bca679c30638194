import { startAgent } from "../../providers/agent-process.ts";
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
    const { child, exited } = await started;
    child.kill = () => {
      child.emit("error", Object.assign(new Error("kill EPERM"), { code: "EPERM" }));
      return false;
    };
    expect(await stopLadder({ child, exited, ...ids, graceMs })).toEqual([]);
    expect(await exited).toEqual({ code, signal });
  }
});
