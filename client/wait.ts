import { BatonError } from "../contracts/failures.ts";
import { type Attention, pmStatus, sessionAttention, type SessionState, sessionState } from "../contracts/session-status.ts";
import type { Viewer } from "../store/reach.ts";
import type { ChainRow, FactsRow } from "../store/rows.ts";
import type { FactsFilter, Store } from "../store/store.ts";
import { fitting, mostBytes } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { chainView } from "./read-chains.ts";
import { longestWaitMs } from "./read-events.ts";
import { findSession } from "./requests.ts";
import { turnView, withFacts } from "./session-view.ts";

/** An agent that waits for its own sessions has nothing else to do. Milliseconds. */
export const longestAgentWaitMs = 3_600_000;

export type Until = "attention" | "idle" | "turn" | "closed";
export interface WaitArgs {
  sessionUlids?: string[];
  sessionUlid?: string;
  rootUlid?: string;
  chainId?: string;
  taskKey?: string;
  until?: Until;
  mode?: "any" | "all";
  /** by ULID or name; what counts must come after it */
  cursors?: Record<string, number>;
  waitMs?: number;
  /** whose eyes; set by `authorize` */
  reach?: Viewer;
}

/** Sessions that one wait may be for. */
const mostSessions = 50;
/** Facts that no event tells of (a host's lease, a chain's new session) are looked for so often. */
const roundMs = 1_000;

/** What was so when a call began, filled by its first look: a close, or an entry of attention, that is in it is no news to who has a cursor. */
export interface Begun {
  marks?: ReadonlySet<string>;
}

/**
 * Waits until one session (`mode: all`: every one) is where the caller wants it, or its chain has ended; a chain needs `attention` when
 * one of its sessions does. A session that is closed ends every wait for it, unless its cursor is behind that; what was closed before the
 * call ends no wait for a task, a chain or a tree in which something is open. In time without it: `met: false`, never an error. `begun`: of an earlier call that this one goes on with.
 */
export async function wait(deps: Deps, args: WaitArgs, signal?: AbortSignal, begun: Begun = {}): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const { find, known } = await targets(store, args);
  const deadline = performance.now() + Math.min(args.waitMs ?? longestWaitMs, args.reach && "session" in args.reach ? longestAgentWaitMs : longestWaitMs);
  let names = known ?? (await find()).map((row) => row.sessionUlid);
  for (;;) {
    // Before the read that decides: what happens after it rings.
    const bell = store.feed.bell(names, signal);
    try {
      const rows = await find();
      const unfinished = args.taskKey !== undefined && args.until === "closed" ? await openChains(store, rows) : new Set<string>();
      const seen = rows.map((row) => see(row, unfinished.has(row.chainId ?? "")));
      begun.marks ??= new Set(seen.flatMap(marksOf));
      const looked = judged(args, seen, begun.marks, known !== undefined);
      const chain = args.chainId === undefined ? null : await mustGetChain(store, args.chainId);
      const met = isMet(args, looked, chain);
      const left = deadline - performance.now();
      if (met || left <= 0 || signal?.aborted)
        return { met, ...answer(looked.map(shown)), ...(chain ? { chain: await chainView(store, chain, deps.options.temporalNamespace) } : {}) };
      names = rows.map((row) => row.sessionUlid);
      await bell.within(Math.min(left, rows.length === 0 ? 200 : roundMs));
    } finally {
      bell.forget();
    }
  }
}

function isMet(args: WaitArgs, looked: Judged[], chain: ChainRow | null): boolean {
  if (chain?.state === "ended") return true;
  // Between its steps a chain's sessions are idle and may be closed: that alone is nobody's business.
  if (chain && (args.until ?? "attention") === "attention") return looked.some((one) => one.asks);
  if (chain && args.until === "closed") return false;
  // What is over has nothing more to wait for; but something has to have come.
  return looked.some((one) => one.met) && (args.mode !== "all" || looked.every((one) => one.met || one.over));
}

/** A chain closes its sessions before it says what became of the task: who waits for the task waits for that, too. */
async function openChains(store: Store, rows: FactsRow[]): Promise<Set<string>> {
  const ids = [...new Set(rows.flatMap((row) => row.chainId ?? []))];
  const chains = await Promise.all(ids.map((id) => store.chains.get(id)));
  return new Set(chains.flatMap((chain) => (chain?.state === "open" ? [chain.chainId] : [])));
}

/** Fifty final messages would be too long an answer. */
function answer(looked: Looked[]): Record<string, unknown> {
  const { kept, truncated } = fitting(looked, mostBytes / 2);
  if (!truncated) return { sessions: looked };
  return {
    sessions: looked.map(({ lastTurn, ...one }) => ({ ...one, ...(lastTurn ? { lastTurn: { ...lastTurn, finalMessage: undefined } } : {}) })),
    truncated: kept.length < looked.length,
  };
}

async function mustGetChain(store: Store, chainId: string): Promise<ChainRow> {
  const chain = await store.chains.get(chainId);
  if (!chain) throw new BatonError("NOT_FOUND", `There is no chain "${chainId}".`, { field: "chainId" });
  return chain;
}

/** What finds the sessions, again at each round: a task, a chain or a tree may get another. Errors: INVALID_ARGUMENT, NOT_FOUND. */
async function targets(store: Store, args: WaitArgs): Promise<{ find: () => Promise<FactsRow[]>; known?: string[] }> {
  const { chainId, taskKey, rootUlid } = args;
  const named = [...(args.sessionUlids ?? []), ...(args.sessionUlid === undefined ? [] : [args.sessionUlid])];
  const given = [named.length > 0 ? "sessionUlids" : null, chainId && "chainId", taskKey && "taskKey", rootUlid && "rootUlid"].filter(Boolean);
  if (given.length !== 1)
    throw new BatonError(
      "INVALID_ARGUMENT",
      `Say what to wait for by one of sessionUlids, rootUlid, chainId or taskKey${given.length > 1 ? `, not by ${given.join(" and ")}` : ""}.`,
      {
        field: given.length === 0 ? "sessionUlids" : String(given[1]),
        example: { action: "wait", sessionUlids: ["PROJ-42/executor-1"], until: "idle" },
      },
    );
  if (named.length > mostSessions)
    throw new BatonError("INVALID_ARGUMENT", `At most ${mostSessions} sessions can be waited for at once: use rootUlid, chainId or taskKey.`, {
      field: "sessionUlids",
      allowed: mostSessions,
    });
  const limit = mostSessions;
  const eyes = args.reach ? { reach: args.reach } : {};
  // Who waits is at work as long as it does.
  const self = args.reach && "session" in args.reach ? args.reach.session : null;
  const list = async (filter: Partial<FactsFilter>) => (await store.facts.list({ limit, ...filter, ...eyes })).filter((row) => row.sessionUlid !== self);
  if (chainId !== undefined) return { find: () => list({ chainId }) };
  if (taskKey !== undefined) return { find: () => list({ contextRef: `TASK-${taskKey}` }) };
  if (rootUlid !== undefined) {
    const root = (await findSession(store, rootUlid)).sessionUlid;
    return { find: () => list({ rootUlid: root }) };
  }
  const sessionUlids = [...new Set((await Promise.all(named.map((reference) => findSession(store, reference)))).map((row) => row.sessionUlid))];
  if (self !== null && sessionUlids.includes(self))
    throw new BatonError("INVALID_ARGUMENT", "A session does not wait for itself: its turn runs as long as it waits.", {
      field: "sessionUlids",
      example: { action: "wait", rootUlid: "self", until: "idle" },
    });
  return { find: () => store.facts.many(sessionUlids), known: sessionUlids };
}

/** A session as one look finds it. */
interface Seen {
  row: FactsRow;
  state: SessionState;
  /** closed or failed */
  over: boolean;
  /** its chain, which is not done, has closed it */
  held: boolean;
  idle: boolean;
  attention: Attention[];
}
interface Judged extends Seen {
  met: boolean;
  /** an entry of attention counts */
  asks: boolean;
}

function see(row: FactsRow, held: boolean): Seen {
  const { facts, pending } = withFacts(row);
  const { state } = sessionState(facts);
  const over = !held && (state === "closed" || state === "failed");
  return { row, state, over, held, idle: state === "idle" && pending.length === 0, attention: sessionAttention(row.sessionUlid, facts) };
}

const overMark = ({ row }: Seen): string => `${row.sessionUlid} over`;
const attentionMark = ({ row }: Seen, { kind, approvalId }: Attention): string => `${row.sessionUlid} ${kind} ${approvalId ?? ""}`;
const marksOf = (seen: Seen): string[] => [...(seen.over ? [overMark(seen)] : []), ...seen.attention.map((one) => attentionMark(seen, one))];

/** Which of them are where the caller wants them. `named`: it named the sessions, and not a task, a tree or a chain that has them. */
function judged(args: WaitArgs, all: Seen[], before: ReadonlySet<string>, named: boolean): Judged[] {
  const until = args.until ?? "attention";
  const cursorOf = ({ row }: Seen) => args.cursors?.[row.sessionUlid] ?? args.cursors?.[row.name];
  const newestKnown = all
    .flatMap((one) => (cursorOf(one) === undefined ? [] : one.row.sessionUlid))
    .toSorted()
    .at(-1);
  const asksIn = (one: Seen): boolean => {
    const after = cursorOf(one);
    return one.attention.some((entry) => after === undefined || entry.seq > after || !before.has(attentionMark(one, entry)));
  };
  const isMetBy = (one: Seen, asks: boolean): boolean => {
    const after = cursorOf(one);
    const { row, over, held, idle } = one;
    if (held) return false;
    if (over) {
      if (named && after === undefined) return true;
      if (!before.has(overMark(one))) return true;
      if (after !== undefined) return row.lastSeq > after;
      // With cursors, one that is newer than those is one the caller has not heard of.
      return newestKnown === undefined ? all.every((other) => other.over) : row.sessionUlid > newestKnown;
    }
    // Without a cursor everything counts, and a session without a turn is idle, too.
    const ended = row.endedSeq !== null && row.endedSeq > (after ?? 0);
    const rests = idle && (ended || after === undefined);
    return (until === "idle" && rests) || (until === "turn" && ended) || (until === "attention" && (asks || rests));
  };
  return all.map((one) => {
    const asks = asksIn(one);
    return { ...one, asks, met: isMetBy(one, asks) };
  });
}

interface Looked {
  sessionUlid: string;
  status: string;
  state: string;
  met: boolean;
  attention: unknown[];
  lastTurn?: Record<string, unknown>;
  cursors: { events: number; deltas: number };
}

function shown({ row, state, met, attention }: Judged): Looked {
  return {
    sessionUlid: row.sessionUlid,
    status: pmStatus(state),
    state,
    met,
    attention,
    ...(row.lastDone ? { lastTurn: turnView(row.lastDone, true) } : {}),
    cursors: { events: row.lastSeq, deltas: row.lastDelta },
  };
}
