import type { ApprovalDecision } from "../contracts/provider.ts";
import type { HostInboxRow } from "../store/store.ts";
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
        .catch((error: unknown) => deps.log.warn({ row: row.id, kind: row.kind, sessionUlid: row.sessionUlid, error: String(error) }, "inbox row failed; repeating"))
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
      await endIdleRunner(deps, row.sessionUlid, "session_closed");
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

/** Ends the runner of a session in which no turn runs. */
export async function endIdleRunner(deps: HostDeps, sessionUlid: string, reason: string): Promise<void> {
  const [session, head] = await Promise.all([deps.store.sessions.get(sessionUlid), deps.store.events.head(sessionUlid)]);
  if (!session || !head) return;
  const living = await attachLiving(deps, { session, epoch: head.epoch });
  if (living) await closeRunner(deps, living, reason);
}
