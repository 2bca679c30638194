import pg from "pg";
import type { Database } from "./database.ts";
import { headColumns } from "./events.ts";
import type { EventFeed } from "./lane.ts";
import { openReadLane } from "./read-lane.ts";
import type { HeadRow } from "./rows.ts";

const pollMs = 1_000;

/** One LISTEN connection for the process (made at the first use, made again when it dies) and a poll each second: a notification is a hint, the rows are the truth. */
export function openFeed(db: Database, databaseUrl: string): EventFeed {
  const sessions = new Map<string, Set<() => void>>();
  const inboxes = new Map<string, Set<() => void>>();
  const reads = openReadLane(db);
  let listening: pg.Client | null = null;
  let connecting = false;
  let closed = false;

  async function listen(): Promise<void> {
    if (listening || connecting || closed) return;
    connecting = true;
    const client = new pg.Client({
      connectionString: databaseUrl,
      keepAlive: true,
      application_name: "baton feed",
      connectionTimeoutMillis: 5_000,
      query_timeout: 5_000,
    });
    const lost = () => {
      if (listening === client) listening = null;
    };
    client
      .on("error", lost)
      .on("end", lost)
      .on("notification", ({ payload }) => heard(payload ?? ""));
    try {
      await client.connect();
      await client.query(`listen ${pg.escapeIdentifier(db.channel)}`);
      if (closed) await client.end();
      else listening = client;
      // what was said before we listened
      wake(sessions, "*");
      wake(inboxes, "*");
    } catch {
      await client.end().catch(() => {});
    } finally {
      connecting = false;
    }
  }

  function heard(payload: string): void {
    const names = payload.slice(2).split(",");
    for (const name of names) wake(payload.startsWith("h:") ? inboxes : sessions, name);
  }

  // The safety poll, and the way back to a lost connection.
  const poll = setInterval(() => {
    if (sessions.size + inboxes.size === 0) return;
    void listen();
    wake(sessions, "*");
    wake(inboxes, "*");
  }, pollMs).unref();

  return {
    async wait(sessionUlid, after, timeoutMs, signal) {
      void listen();
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        // registered before it looks: news between the look and the wait is not missed
        const news = nudge(sessions, [sessionUlid], signal);
        try {
          const head = await db.row<HeadRow>(`select ${headColumns} from head where session_ulid = $1`, [sessionUlid]);
          const left = deadline - performance.now();
          if (!head || isNews(head, after) || left <= 0 || signal?.aborted || closed) return head;
          await news.within(left);
        } finally {
          news.forget();
        }
      }
    },
    async next(cursor, timeoutMs, signal) {
      void listen();
      const deadline = performance.now() + timeoutMs;
      for (;;) {
        const bell = nudge(sessions, [cursor.sessionUlid], signal);
        try {
          const news = await reads.read(cursor);
          const left = deadline - performance.now();
          if (news.events.length + news.deltas.length > 0 || left <= 0 || signal?.aborted || closed) return news;
          await bell.within(left);
        } finally {
          bell.forget();
        }
      }
    },
    bell(sessionUlids, signal) {
      void listen();
      return nudge(sessions, sessionUlids, signal);
    },
    onInbox(hostId, listener) {
      void listen();
      add(inboxes, hostId, listener);
      return () => remove(inboxes, hostId, listener);
    },
    async close() {
      closed = true;
      clearInterval(poll);
      wake(sessions, "*");
      await listening?.end().catch(() => {});
    },
  };
}

function isNews(head: HeadRow, after: { seq?: number; delta?: number }): boolean {
  return (after.seq !== undefined && head.lastSeq > after.seq) || (after.delta !== undefined && head.lastDelta > after.delta);
}

/** A promise-like bell for some sessions: rings at a notification, a poll, an abort; `within` also ends by time. */
function nudge(bells: Map<string, Set<() => void>>, names: string[], signal: AbortSignal | undefined) {
  let ring = () => {};
  const rung = new Promise<void>((resolve) => {
    ring = resolve;
  });
  for (const name of names) add(bells, name, ring);
  signal?.addEventListener("abort", ring);
  let timer: NodeJS.Timeout | undefined;
  return {
    within(ms: number): Promise<void> {
      timer = setTimeout(ring, ms);
      return rung;
    },
    forget() {
      clearTimeout(timer);
      for (const name of names) remove(bells, name, ring);
      signal?.removeEventListener("abort", ring);
    },
  };
}

function add(map: Map<string, Set<() => void>>, name: string, listener: () => void): void {
  const set = map.get(name) ?? new Set();
  map.set(name, set.add(listener));
}
function remove(map: Map<string, Set<() => void>>, name: string, listener: () => void): void {
  const set = map.get(name);
  set?.delete(listener);
  if (set?.size === 0) map.delete(name);
}
function wake(map: Map<string, Set<() => void>>, name: string): void {
  const sets = name === "*" ? [...map.values()] : [map.get(name) ?? new Set<() => void>()];
  for (const set of sets) for (const listener of set) listener();
}
