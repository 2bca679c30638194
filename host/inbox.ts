import type { ApprovalDecision } from "../contracts/provider.ts";
import type { HostInboxRow } from "../store/rows.ts";
import type { Beats } from "./beats.ts";
import type { HostDeps } from "./deps.ts";
import type { ExpectedLaunches } from "./expect-launch.ts";
import { answer } from "./follow-turn.ts";
import type { Keeper } from "./keeper.ts";
import type { WorkspaceMaker } from "./make-workspace.ts";
import { endIdleRunner } from "./obtain-runner.ts";
import { inspectSession, purgeOnce } from "./purge.ts";
import { watchRows } from "./watch-rows.ts";

/** What doors and activities leave for a host: pokes, answers, runners to end. Rows stay until they are done; a notification is only a hint. */
export function watchInbox(deps: HostDeps, keeper: Keeper, beats: Beats, workspaces: WorkspaceMaker, launches: ExpectedLaunches): { stop(): void } {
  const working = new Set<number>();

  async function lookOnce(): Promise<void> {
    for (const row of await deps.store.hosts.takeInbox(deps.config.hostId)) {
      if (working.has(row.id)) continue;
      working.add(row.id);
      void handle(row)
        .then((done) => (done ? deps.store.hosts.ack([row.id]) : undefined))
        .catch((error: unknown) =>
          deps.log.warn({ row: row.id, kind: row.kind, sessionUlid: row.sessionUlid, error: String(error) }, "inbox row failed; repeating"),
        )
        .finally(() => working.delete(row.id));
    }
  }

  /** True: done, never to be seen again. */
  async function handle(row: HostInboxRow): Promise<boolean> {
    if (row.kind === "poke") {
      await beats.poke(row.sessionUlid);
      return true;
    }
    if (row.kind === "prepare") {
      await launches.expect(row.sessionUlid);
      return true;
    }
    if (row.kind === "inspect") {
      await inspectSession(deps, row);
      return true;
    }
    if (row.kind === "purge") {
      await Promise.all([keeper.held.get(row.sessionUlid)?.ended, launches.handOver(row.sessionUlid)]);
      await workspaces.settled(row.sessionUlid);
      await endIdleRunner(deps, row.sessionUlid, "session_closed", { closed: true });
      await purgeOnce(deps, row.sessionUlid);
      return true;
    }
    if (row.kind === "close_runner") {
      const { turnId } = row.body as { turnId?: string };
      const held = keeper.held.get(row.sessionUlid);
      // A next turn is at work: it has ended the agent of the former one itself.
      if (turnId !== undefined && held !== undefined && held.turn.turnId !== turnId) return true;
      // The session is over in its rows: nobody wants this turn any more.
      const session = await deps.store.sessions.get(row.sessionUlid);
      if (held && session && session.closedAt !== null && session.generation === held.turn.generation) held.abort.abort();
      await Promise.all([held?.ended, launches.handOver(row.sessionUlid)]);
      if (turnId === undefined) await endIdleRunner(deps, row.sessionUlid, "session_closed", { closed: true });
      else await endIdleRunner(deps, row.sessionUlid, "turn_given_up", { turnId });
      return true;
    }
    // A newer Baton's word: left for the host that understands it.
    if (row.kind !== "respond") return false;
    const held = keeper.held.get(row.sessionUlid);
    const { approvalId, decision } = row.body as { approvalId: string; decision: ApprovalDecision };
    // Without a connection the answer stays in its own row: the turn asks for undelivered answers when it attaches.
    if (held) await answer(deps, held, approvalId, decision);
    return true;
  }

  return watchRows(deps, lookOnce);
}
