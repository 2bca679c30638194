import type { BatonEvent } from "../contracts/event.ts";
import { pmStatus, sessionState } from "../contracts/session-status.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { cutTexts, defaultBytes, fitting, mostBytes, sizeOf } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { findSession } from "./requests.ts";
import { loadFacts } from "./session-view.ts";

export interface EventsArgs {
  sessionUlid: string;
  sinceSeq?: number;
  limit?: number;
  types?: string[];
  turnId?: string;
  tail?: number;
  textMaxLength?: number;
  waitMs?: number;
  maxBytes?: number;
  format?: "json" | "transcript";
}
export interface DeltasArgs {
  sessionUlid: string;
  sinceSeq?: number;
  waitMs?: number;
  /** after the first piece, wait so long for more: fewer answers for a model, 0 for a screen. Default 200 */
  gatherMs?: number;
  maxBytes?: number;
  limit?: number;
}

/** A long poll ends before the 60 s at which common clients give up. Milliseconds. */
export const longestWaitMs = 25_000;
const gatherMs = 200;

/** Events after a cursor; waits for the first one if asked to. With nothing but the session: all of them, or the first 20 and the newest with the gap between. */
export async function events(deps: Deps, args: EventsArgs, signal?: AbortSignal): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  if (Object.values({ ...args, sessionUlid: undefined }).every((value) => value === undefined)) return everything(store, row);
  const since = args.sinceSeq ?? 0;
  if (args.waitMs) await store.feed.wait(row.sessionUlid, { seq: since }, Math.min(args.waitMs, longestWaitMs), signal);
  const limit = Math.min(args.limit ?? 1_000, 1_000);
  const read = args.tail
    ? await store.events.tail(row.sessionUlid, Math.min(args.tail, limit))
    : await store.events.read(row.sessionUlid, {
        sinceSeq: since,
        limit,
        ...(args.types ? { types: args.types } : {}),
        ...(args.turnId ? { turnId: args.turnId } : {}),
      });
  // One text alone may be larger than the whole answer may be.
  const budget = Math.min(args.maxBytes ?? defaultBytes, mostBytes);
  const cut = read.map((event) => cutTexts(event, args.textMaxLength ?? Math.max(1_000, budget >> 1)));
  const { kept, truncated } = fitting(cut, budget);
  const nextSeq = kept.at(-1)?.seq ?? since;
  const body = args.format === "transcript" ? { transcript: kept.map(asMarkdown).filter(Boolean).join("\n\n") } : { events: kept };
  return { ...body, nextSeq, ...(await ending(store, row, nextSeq)), ...(truncated ? { truncated: true } : {}) };
}

/** Streaming text after a cursor of its own. Returns at the first piece (and what comes within `gatherMs`), or in time with an empty list. */
export async function liveDeltas(deps: Deps, args: DeltasArgs, signal?: AbortSignal): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  const since = args.sinceSeq ?? 0;
  const read = () => store.events.deltas(row.sessionUlid, { sinceSeq: since, limit: Math.min(args.limit ?? 1_000, 1_000) });
  const [first, head] = await Promise.all([read(), store.events.head(row.sessionUlid)]);
  let found = first;
  if (found.length === 0 && args.waitMs) {
    // Also a new event wakes it: a status may have changed, and a caller wants to know.
    await store.feed.wait(row.sessionUlid, { seq: head?.lastSeq ?? 0, delta: since }, Math.min(args.waitMs, longestWaitMs), signal);
    const gather = args.gatherMs ?? gatherMs;
    if ((found = await read()).length > 0 && gather > 0) {
      await new Promise((resolve) => setTimeout(resolve, gather));
      found = await read();
    }
  }
  const { kept, truncated } = fitting(found, Math.min(args.maxBytes ?? defaultBytes, mostBytes));
  const now = await findSession(store, row.sessionUlid);
  const { facts } = await loadFacts(store, now);
  const { state } = sessionState(facts);
  const oldest = kept[0]?.seq;
  const expired = args.sinceSeq !== undefined && oldest !== undefined && oldest > since + 1;
  return {
    deltas: kept,
    nextSeq: kept.at(-1)?.seq ?? since,
    status: pmStatus(state),
    state,
    done: now.closedAt !== null,
    truncated,
    ...(expired ? { expired: true, firstSeq: oldest } : {}),
  };
}

async function everything(store: Store, row: SessionRow): Promise<Record<string, unknown>> {
  const wanted = 2_000;
  const newest = await store.events.tail(row.sessionUlid, wanted);
  const lastSeq = newest.at(-1)?.seq ?? 0;
  if (newest.length === lastSeq && sizeOf(newest) <= mostBytes) return { events: newest, nextSeq: lastSeq, ...(await ending(store, row, lastSeq)) };
  const first = (await store.events.read(row.sessionUlid, { sinceSeq: 0, limit: 20 })).map((event) => cutTexts(event, 1_000));
  const after = first.at(-1)?.seq ?? 0;
  const candidates = newest
    .filter((event) => event.seq > after)
    .map((event) => cutTexts(event, 2_000))
    .reverse();
  const kept = fitting(candidates, mostBytes - sizeOf(first)).kept.reverse();
  const from = kept[0]?.seq ?? after + 1;
  return {
    events: [...first, ...kept],
    nextSeq: lastSeq,
    ...(await ending(store, row, lastSeq)),
    ...(from > after + 1 ? { gap: { fromSeq: after + 1, toSeq: from - 1 } } : {}),
  };
}

/** `done`: the session is closed and the reader has it all. */
async function ending(store: Store, row: SessionRow, nextSeq: number): Promise<{ lastSeq: number; done: boolean }> {
  const [head, now] = await Promise.all([store.events.head(row.sessionUlid), store.sessions.get(row.sessionUlid)]);
  const lastSeq = head?.lastSeq ?? 0;
  return { lastSeq, done: now !== null && now.closedAt !== null && nextSeq >= lastSeq };
}

function asMarkdown(event: BatonEvent): string {
  const data = event.data as Record<string, unknown>;
  switch (event.type) {
    case "message.completed":
      return `**${String(data["role"])}**: ${String(data["text"])}`;
    case "tool.started":
      return `- tool: ${String(data["title"])}`;
    case "command.started":
      return `- \`${String(data["command"])}\``;
    case "file.changed":
      return `- ${String(data["change"])} ${String(data["path"])}`;
    case "turn.completed":
      return `*turn ended: ${String(data["outcome"])}*`;
    case "approval.requested":
      return `*asks: ${String(data["title"])}*`;
    default:
      return "";
  }
}
