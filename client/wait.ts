import { BatonError } from "../contracts/failures.ts";
import { pmStatus, sessionAttention, sessionState } from "../contracts/session-status.ts";
import type { Viewer } from "../store/reach.ts";
import type { ChainRow, FactsRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
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

/**
 * Waits until one session (`mode: all`: every one) is where the caller wants it, or a chain has ended or needs somebody. A session that is
 * closed ends every wait for it. In time without it: `met: false`, never an error.
 */
export async function wait(deps: Deps, args: WaitArgs, signal?: AbortSignal): Promise<Record<string, unknown>> {
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
      const looked = rows.map((row) => {
        const one = look(row, args.until ?? "attention", args.cursors?.[row.sessionUlid] ?? args.cursors?.[row.name]);
        return unfinished.has(row.chainId ?? "") ? { ...one, met: false } : one;
      });
      const chain = args.chainId === undefined ? null : await mustGetChain(store, args.chainId);
      const met = isMet(args, looked, chain);
      const left = deadline - performance.now();
      if (met || left <= 0 || signal?.aborted)
        return { met, ...answer(looked), ...(chain ? { chain: await chainView(store, chain, deps.options.temporalNamespace) } : {}) };
      names = rows.map((row) => row.sessionUlid);
      await bell.within(Math.min(left, rows.length === 0 ? 200 : roundMs));
    } finally {
      bell.forget();
    }
  }
}

function isMet(args: WaitArgs, looked: Looked[], chain: ChainRow | null): boolean {
  if (chain) return chain.state === "ended" || (args.until !== "closed" && looked.some((one) => one.attention.length > 0));
  return args.mode === "all" ? looked.length > 0 && looked.every((one) => one.met) : looked.some((one) => one.met);
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
  if (chainId !== undefined) return { find: () => store.facts.list({ limit, chainId, ...eyes }) };
  if (taskKey !== undefined) return { find: () => store.facts.list({ limit, contextRef: `TASK-${taskKey}`, ...eyes }) };
  if (rootUlid !== undefined) {
    const root = (await findSession(store, rootUlid)).sessionUlid;
    return { find: () => store.facts.list({ limit, rootUlid: root, ...eyes }) };
  }
  const sessionUlids = [...new Set((await Promise.all(named.map((reference) => findSession(store, reference)))).map((row) => row.sessionUlid))];
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

function look(row: FactsRow, until: Until, after: number | undefined): Looked {
  const { facts, pending } = withFacts(row);
  const { state } = sessionState(facts);
  const attention = sessionAttention(row.sessionUlid, facts);
  // Without a cursor everything counts, and a session without a turn is idle, too.
  const ended = row.endedSeq !== null && row.endedSeq > (after ?? 0);
  const idle = state === "idle" && pending.length === 0;
  const met =
    state === "closed" ||
    state === "failed" ||
    (until === "idle" && idle && (ended || after === undefined)) ||
    (until === "turn" && ended) ||
    (until === "attention" && (attention.length > 0 || (idle && (ended || after === undefined))));
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
