import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { TestBaton } from "./launch.ts";
import type { Stack } from "./stack.ts";

/** How many numbers the agent itself says it has emitted. */
export function emitted(stack: Stack, session: string): number {
  try {
    return readFileSync(join(stack.home, "agents", session, "emitted.log"), "utf8").split("\n").length - 1;
  } catch {
    return 0;
  }
}

/** Bytes in the session's spools. */
export function spooled(stack: Stack, session: string): number {
  const dir = join(stack.home, "runners", session);
  return readdirSync(dir)
    .filter((name) => name.startsWith("spool-"))
    .reduce((sum, name) => sum + statSync(join(dir, name)).size, 0);
}

/** How many numbers are in the table. */
export async function stored(baton: TestBaton, session: string): Promise<number> {
  const [row] = await baton.query<{ n: string }>("select count(*) n from event where session_ulid = $1 and type = 'tool.completed'", [session]);
  return Number(row?.n);
}

/** How often an agent of the session was started, and how often it got a prompt. */
export function agentStarts(stack: Stack, session: string): { starts: number; prompts: number } {
  const log = readFileSync(join(stack.home, "agents", session, "agent.log"), "utf8").split("\n");
  return { starts: log.filter((line) => line.endsWith(" start")).length, prompts: log.filter((line) => line.includes(" prompt turn ")).length };
}
