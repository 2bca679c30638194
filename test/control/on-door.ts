import { execFileSync } from "node:child_process";
import { launchScripted } from "../faults/support/launch.ts";
import { type McpDoor, openMcpDoor } from "../faults/support/mcp-door.ts";
import { onStack } from "../faults/support/on-stack.ts";

export const caller = { principal: "local", actor: "@test" };

/** Two turns: the first one makes `<name>.txt`. */
export const made = (name: string) => [[{ edit: { path: `${name}.txt`, content: `${name}\n` } }, { say: "made it" }], [{ say: "more" }]];

/** A stack with an engine and a host (`onStack`), and a door of it as orchestrators have one. */
export function onDoor() {
  const on = Object.assign(onStack({ start: ["engine", "host"] }), {
    door: undefined as unknown as McpDoor,
    key: (name: string) => `${on.stack.env["BATON_INSTANCE"]}-${name}`,
    sessions: () => on.baton.sdk.sessions,
    /** git in the stack's repository */
    git: (...args: string[]): string =>
      execFileSync("git", ["-C", on.stack.repository, "-c", "user.name=t", "-c", "user.email=t@t", ...args], { encoding: "utf8" }).trim(),
    /** a session whose first turn is over */
    async idle(name: string, turns: unknown[] = made(name)): Promise<{ session: string; worktree: string; branch: string }> {
      const session = await launchScripted(on.baton, on.stack, { key: on.key(name), turns });
      await on.baton.turnsEnded(session, 1, 30_000);
      const view = await on.sessions().get({ sessionUlid: session });
      return { session, worktree: String(view["worktreePath"]), branch: String(view["branchName"]) };
    },
  });
  beforeAll(async () => {
    on.door = await openMcpDoor(on.stack);
  }, 60_000);
  afterAll(() => on.door.close());
  return on;
}
