import { BatonError } from "../contracts/failures.ts";
import { pmStatus } from "../contracts/session-status.ts";
import type { Viewer } from "../store/reach.ts";
import type { ChainRow, FactsRow } from "../store/rows.ts";
import type { FactsFilter, Store } from "../store/store.ts";
import { fitting, mostBytes } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { chainView } from "./read-chains.ts";
import { longestWaitMs } from "./read-events.ts";
import { findSession, findSessionOrChain } from "./requests.ts";
import { turnView } from "./session-view.ts";
import { type Begun, judged, type Judged, marksOf, see } from "./waited-sessions.ts";

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
  /** by ULID or name; what counts must come after it: an event's seq, or `cursors` as answers have them */
  cursors?: Record<string, number | { events: number; deltas?: number | undefined }>;
  waitMs?: number;
  /** an earlier look that this call goes on with, or an empty one to be filled by the first */
  begun?: Begun;
  /** whose eyes; set by `authorize` */
  reach?: Viewer;
}

/** Sessions that one wait may be for. */
const mostSessions = 50;
/** Facts that no event tells of (a host's lease, a chain's new session) are looked for so often. */
const longestRoundMs = 1_000;

/**
 * Waits until one session (`mode: all`: every one) is where the caller wants it, or its chain has ended; a chain needs `attention` when
 * one of its sessions does. A session that is closed ends every wait for it; what was closed before the call, or before its cursor, ends no
 * wait in which something else is open.
 * In time without it: `met: false`, never an error.
 */
export async function wait(deps: Deps, args: WaitArgs, signal?: AbortSignal): Promise<Record<string, unknown>> {
  const { begun = {} } = args;
  const store = await deps.getStore();
  const { find, known, chainId } = await targets(store, args);
  const deadline = performance.now() + Math.min(args.waitMs ?? longestWaitMs, args.reach && "session" in args.reach ? longestAgentWaitMs : longestWaitMs);
  let names = known ?? (await find()).map((row) => row.sessionUlid);
  let roundMs = 100;
  for (;;) {
    // Before the read that decides: what happens after it rings.
    const bell = store.feed.bell(names, signal);
    try {
      const rows = await find();
      const unfinished = args.taskKey !== undefined && args.until === "closed" ? await openChains(store, rows) : new Set<string>();
      const seen = rows.map((row) => see(row, unfinished.has(row.chainId ?? "")));
      begun.marks ??= new Set(seen.flatMap(marksOf));
      const looked = judged(args, seen, begun.marks, known !== undefined);
      const chain = chainId === undefined ? null : await mustGetChain(store, chainId);
      const met = isMet(args, looked, chain);
      const left = deadline - performance.now();
      if (met || left <= 0 || signal?.aborted)
        return { met, ...answer(looked.map(shown)), ...(chain ? { chain: await chainView(store, chain, deps.options.temporalNamespace) } : {}) };
      names = rows.map((row) => row.sessionUlid);
      // No bell is a session's that is not there yet: looked for sooner at first.
      roundMs = rows.length === 0 ? Math.min(roundMs * 2, longestRoundMs) : longestRoundMs;
      await bell.within(Math.min(left, roundMs));
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

/** A task without sessions is waited for, too. Error: NOT_FOUND, in the same words for what is not there and for what the caller does not reach. */
async function mustKnowTask(store: Store, taskKey: string, reach: Viewer | undefined): Promise<void> {
  const known = async (key: string) => (reach ? ["seen", "own"].includes(await store.reach.task(reach, key)) : (await store.tasks.get(key)) !== null);
  for (const key of new Set([taskKey, taskKey.replace(/^TASK-/, "")])) if (await known(key)) return;
  throw new BatonError("NOT_FOUND", `There is no task ${taskKey}.`, {
    field: "taskKey",
    next: [{ tool: "pm_task", args: { action: "list" }, why: "the tasks there are" }],
  });
}

/** `known`: the sessions that are named; `chainId`: the chain that is. */
interface Targets {
  find: () => Promise<FactsRow[]>;
  known?: string[];
  chainId?: string;
}

/** What finds the sessions, again at each round: a task, a chain or a tree may get another. Errors: INVALID_ARGUMENT, NOT_FOUND. */
async function targets(store: Store, args: WaitArgs): Promise<Targets> {
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
  const all = (filter: Partial<FactsFilter>) => store.facts.list({ limit, ...filter, ...eyes });
  const list = async (filter: Partial<FactsFilter>) => (await all(filter)).filter((row) => row.sessionUlid !== self);
  if (chainId !== undefined) return { find: () => list({ chainId }), chainId };
  if (taskKey !== undefined) {
    // As the sessions' context has it, or bare.
    const contextRef = taskKey.startsWith("TASK-") ? taskKey : `TASK-${taskKey}`;
    if ((await all({ contextRef })).length === 0) await mustKnowTask(store, taskKey, args.reach);
    return { find: () => list({ contextRef }) };
  }
  if (rootUlid !== undefined) {
    const root = (await findSession(store, rootUlid)).sessionUlid;
    return { find: () => list({ rootUlid: root }) };
  }
  const found = await Promise.all([...new Set(named)].map((reference) => findSessionOrChain(store, reference)));
  const chain = found.find((one) => one.chain)?.chain;
  if (chain && found.length === 1) return { find: () => list({ chainId: chain.chainId }), chainId: chain.chainId };
  if (chain)
    throw new BatonError("INVALID_ARGUMENT", `"${chain.chainId}" is a chain: it is waited for by itself.`, {
      field: "sessionUlids",
      example: { action: "wait", chainId: chain.chainId, until: "closed" },
    });
  const sessionUlids = [...new Set(found.flatMap(({ session }) => session?.sessionUlid ?? []))];
  if (self !== null && sessionUlids.includes(self))
    throw new BatonError("INVALID_ARGUMENT", "A session does not wait for itself: its turn runs as long as it waits.", {
      field: "sessionUlids",
      example: { action: "wait", rootUlid: "self", until: "idle" },
    });
  return { find: () => store.facts.many(sessionUlids), known: sessionUlids };
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
