import { BatonError } from "../contracts/failures.ts";
import { pmStatus, sessionAttention, sessionState } from "../contracts/session-status.ts";
import type { Viewer } from "../store/reach.ts";
import type { SessionRow, TurnRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Deps } from "./deps.ts";
import { longestWaitMs } from "./read-events.ts";
import { findSession } from "./requests.ts";
import { loadFacts, turnView } from "./session-view.ts";
import { chainView } from "./read-chains.ts";

/** An agent that waits for its own sessions has nothing else to do. Milliseconds. */
export const longestAgentWaitMs = 3_600_000;

export type Until = "attention" | "idle" | "turn" | "closed";
export interface WaitArgs {
  sessionUlids?: string[];
  sessionUlid?: string;
  chainId?: string;
  taskKey?: string;
  until?: Until;
  mode?: "any" | "all";
  cursors?: Record<string, number>;
  waitMs?: number;
  /** whose eyes; set by `authorize` */
  reach?: Viewer;
}

/** Waits until sessions (or a chain: until it ended or needs somebody) are where the caller wants them. In time without it: `met: false`, never an error. */
export async function wait(deps: Deps, args: WaitArgs, signal?: AbortSignal): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const deadline = performance.now() + Math.min(args.waitMs ?? longestWaitMs, args.reach && "session" in args.reach ? longestAgentWaitMs : longestWaitMs);
  for (;;) {
    const rows = await targets(store, args);
    const looked = await Promise.all(rows.map((row) => look(store, row, args)));
    const chain = args.chainId === undefined ? null : await mustGetChain(store, args.chainId);
    const met = chain
      ? chain.state === "ended" || (args.until !== "closed" && looked.some((one) => one.attention.length > 0))
      : args.mode === "all"
        ? looked.every((one) => one.met)
        : looked.some((one) => one.met);
    const left = deadline - performance.now();
    if (met || left <= 0 || signal?.aborted) return { met, sessions: looked, ...(chain ? { chain: await chainView(store, chain) } : {}) };
    await anyNews(store, looked, Math.min(left, 1_000), signal);
  }
}

async function mustGetChain(store: Store, chainId: string): Promise<NonNullable<Awaited<ReturnType<Store["chains"]["get"]>>>> {
  const chain = await store.chains.get(chainId);
  if (!chain) throw new BatonError("NOT_FOUND", `There is no chain "${chainId}".`, { field: "chainId" });
  return chain;
}

async function targets(store: Store, args: WaitArgs): Promise<SessionRow[]> {
  const named = [...(args.sessionUlids ?? []), ...(args.sessionUlid === undefined ? [] : [args.sessionUlid])];
  if (named.length > 0) return Promise.all(named.slice(0, 50).map((reference) => findSession(store, reference)));
  const eyes = args.reach ? { reach: args.reach } : {};
  if (args.chainId !== undefined) return store.sessions.list({ limit: 50, chainId: args.chainId, ...eyes });
  if (args.taskKey !== undefined) return store.sessions.list({ limit: 50, contextRef: `TASK-${args.taskKey}`, ...eyes });
  throw new BatonError("INVALID_ARGUMENT", "Say what to wait for: sessionUlids, chainId or taskKey.", { field: "sessionUlids" });
}

interface Looked {
  sessionUlid: string;
  status: string;
  state: string;
  met: boolean;
  attention: unknown[];
  lastTurn?: unknown;
  cursors: { events: number; deltas: number };
}

async function look(store: Store, row: SessionRow, args: WaitArgs): Promise<Looked> {
  // The cursor first: what happens between the two reads is then seen again, never missed.
  const head = await store.events.head(row.sessionUlid);
  const current = (await store.sessions.get(row.sessionUlid)) ?? row;
  const { facts, turns } = await loadFacts(store, current);
  const { state } = sessionState(facts);
  const attention = sessionAttention(row.sessionUlid, facts);
  const after = args.cursors?.[row.sessionUlid];
  const done = turns.filter((turn) => turn.state === "done").sort((a, b) => b.n - a.n)[0];
  const since = after === undefined || (done !== undefined && (await endedAfter(store, done, after)));
  const over = state === "closed" || state === "failed";
  const until = args.until ?? "attention";
  const met =
    over ||
    (until === "idle" && state === "idle" && since && (after === undefined || done !== undefined)) ||
    (until === "turn" && done !== undefined && since) ||
    (until === "attention" && (attention.length > 0 || (state === "idle" && since)));
  return {
    sessionUlid: row.sessionUlid,
    status: pmStatus(state),
    state,
    met,
    attention,
    ...(done ? { lastTurn: turnView(done, true) } : {}),
    cursors: { events: head?.lastSeq ?? 0, deltas: head?.lastDelta ?? 0 },
  };
}

async function endedAfter(store: Store, turn: TurnRow, seq: number): Promise<boolean> {
  const later = await store.events.read(turn.sessionUlid, { sinceSeq: seq, limit: 1, types: ["turn.completed"] });
  return later.length > 0;
}

/** Until any of them may have news. Bounded by `ms`: sessions that a chain opens meanwhile are seen at the next round. */
async function anyNews(store: Store, looked: Looked[], ms: number, signal: AbortSignal | undefined): Promise<void> {
  const over = new AbortController();
  const both = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  try {
    if (looked.length === 0) await new Promise((resolve) => setTimeout(resolve, Math.min(ms, 200)));
    else await Promise.race(looked.map((one) => store.feed.wait(one.sessionUlid, { seq: one.cursors.events }, ms, both)));
  } finally {
    over.abort();
  }
}
