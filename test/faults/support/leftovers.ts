import { agentProcesses } from "./auditor.ts";
import type { TestBaton } from "./launch.ts";
import type { Stack } from "./stack.ts";

/** Closes every open session, ends the stack, and fails when a process of one of its sessions outlives that. Needs an engine and a host that are up. */
export async function endStack(baton: TestBaton | undefined, stack: Stack | undefined): Promise<void> {
  let left: { pid: number; session: string }[] = [];
  if (baton && stack) {
    const rows = await baton.query<{ session_ulid: string; closed: boolean }>("select session_ulid, closed_at is not null closed from session");
    const sessions = rows.map((row) => row.session_ulid);
    const closed = await Promise.allSettled(rows.filter((row) => !row.closed).map((row) => baton.closeSession(row.session_ulid)));
    for (const one of closed) if (one.status === "rejected") console.error(one.reason);
    for (const end = Date.now() + 20_000; (left = agentProcesses(sessions)).length > 0 && Date.now() < end;)
      await new Promise((resolve) => setTimeout(resolve, 100));
    for (const { pid } of left) process.kill(pid, "SIGKILL");
  }
  await baton?.close();
  await stack?.close();
  expect(left).toEqual([]);
}
