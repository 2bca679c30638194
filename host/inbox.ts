import type { ApprovalDecision } from "../contracts/provider.ts";
import type { HostInboxRow } from "../store/rows.ts";
import type { Beats } from "./beats.ts";
import type { HostDeps } from "./deps.ts";
import { answer } from "./follow-turn.ts";
import type { Keeper } from "./keeper.ts";
import { attachLiving, closeRunner } from "./obtain-runner.ts";

/** What doors and activities leave for a host: pokes, answers, runners to end. Rows stay until they are done; a notification is only a hint. */
export function watchInbox(deps: HostDeps, keeper: Keeper, beats: Beats): { stop(): void } {
  const working = new Set<number>();

  async function look(): Promise<void> {
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
    if (row.kind === "close_runner") {
      await keeper.held.get(row.sessionUlid)?.ended;
      await endIdleRunner(deps, row.sessionUlid, "session_closed", true);
      return true;
    }
    const held = keeper.held.get(row.sessionUlid);
    const { approvalId, decision } = row.body as { approvalId: string; decision: ApprovalDecision };
    // Without a connection the answer stays in its own row: the turn asks for undelivered answers when it attaches.
    if (held) await answer(deps, held, approvalId, decision);
    return true;
  }

  const seldom = setInterval(() => void look().catch(() => undefined), 1_000);
  const unlisten = deps.store.feed.onInbox(deps.config.hostId, () => void look().catch(() => undefined));
  return {
    stop() {
      clearInterval(seldom);
      unlisten();
    },
  };
}

/** Ends the runner of a session in which no turn runs; with `closed` only if the session still is. */
export async function endIdleRunner(deps: HostDeps, sessionUlid: string, reason: string, closed = false): Promise<void> {
  // The head first: if the session is closed even after that, no claim is newer than this head, and one that comes later fences us.
  const head = await deps.store.events.head(sessionUlid);
  const session = await deps.store.sessions.get(sessionUlid);
  // Woken again: the next generation goes on with the runner.
  if (!head || !session || (closed && session.closedAt === null)) return;
  // In the name of its last owner, who may be a dead worker of this host: we hold the lease, so the session is ours.
  const living = await attachLiving(deps, { session, epoch: head.epoch, owner: head.owner ?? deps.owner });
  if (living) await closeRunner(deps, living, reason);
}
