import { BatonError } from "../contracts/failures.ts";
import { pmStatus, sessionAttention, sessionState } from "../contracts/session-status.ts";
import type { Viewer } from "../store/reach.ts";
import type { FactsRow } from "../store/rows.ts";
import type { FactsFilter, Store } from "../store/store.ts";
import { approvalView } from "./approval-view.ts";
import { defaultBytes, fitting, mostBytes } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { chainView } from "./read-chains.ts";
import { findAnySession, findSessionOrChain, isUlid, noSession } from "./requests.ts";
import { fullView, type SessionWithFacts, summaryView, withFacts } from "./session-view.ts";
import { tombstone } from "./purged.ts";

export interface ListArgs {
  limit?: number;
  contextRef?: string;
  status?: string;
  role?: string;
  agentHandle?: string;
  projectKey?: string;
  /** `name`, or `name=value` */
  label?: string;
  parentUlid?: string;
  rootUlid?: string;
  chainId?: string;
  attention?: boolean;
  cursor?: string;
  /** whose eyes; set by `authorize` */
  reach?: Viewer;
}
export interface ApprovalsArgs {
  sessionUlid?: string;
  chainId?: string;
  state?: string;
  limit?: number;
  cursor?: string;
  /** whose eyes; set by `authorize` */
  reach?: Viewer;
}
export interface Page {
  data: Record<string, unknown>;
  page?: { nextCursor: string };
}

const states = ["RUNNING", "IDLE", "CLOSED", "FAILED", "STARTING", "WAITING", "CLOSING"];
const approvalStates = ["open", "answered", "delivered", "expired"];
/** Rows looked at by one call at most: a rare status must not read the whole table. */
const mostLooked = 2_000;

/** Sessions, newest first; with `attention` those that wait for somebody, oldest first, with what they all cost. */
export async function listSessions(deps: Deps, args: ListArgs): Promise<Page> {
  const store = await deps.getStore();
  const limit = Math.min(args.limit ?? 200, 200);
  if (args.cursor !== undefined && !isUlid(args.cursor)) throw noCursor();
  const wanted = args.status?.trim().toUpperCase();
  if (wanted !== undefined && !states.includes(wanted))
    throw new BatonError("INVALID_ARGUMENT", `"${args.status}" is no status: ${states.slice(0, 4).join(", ")}, or a state.`, {
      field: "status",
      allowed: states,
    });
  const [parentUlid, rootUlid] = await Promise.all([args.parentUlid, args.rootUlid].map((reference) => ulidOf(store, reference)));
  const filter = filterOf({ ...args, ...(parentUlid ? { parentUlid } : {}), ...(rootUlid ? { rootUlid } : {}) }, wanted);
  const kept: SessionWithFacts[] = [];
  let cursor = args.cursor?.toUpperCase();
  let looked = 0;
  let more = true;
  // A filter that only the facts can decide must not end the list early.
  while (more && kept.length < limit && looked < mostLooked) {
    const rows = await store.facts.list({ ...filter, limit: limit - kept.length, ...(cursor === undefined ? {} : { cursor }) });
    looked += rows.length;
    more = rows.length === limit - kept.length;
    cursor = rows.at(-1)?.sessionUlid ?? cursor;
    kept.push(...rows.map(withFacts).filter((one) => isWanted(one, wanted, args.attention === true)));
  }
  const { kept: shown, truncated } = fitting(kept.map(summaryView), mostBytes);
  const next = truncated ? kept[shown.length - 1]?.row.sessionUlid : more ? cursor : undefined;
  const totals = args.attention ? { totals: await totalsOf(store, filter, wanted) } : {};
  return { data: { sessions: shown, ...totals }, ...(next === undefined ? {} : { page: { nextCursor: next } }) };
}

/** Names are taken wherever ULIDs are. Error: NOT_FOUND. */
const ulidOf = async (store: Store, reference: string | undefined): Promise<string | undefined> =>
  reference === undefined ? undefined : (await findAnySession(store, reference)).sessionUlid;

function filterOf(args: ListArgs, wanted: string | undefined): Omit<FactsFilter, "limit"> {
  const { contextRef, role, agentHandle, projectKey, parentUlid, rootUlid, chainId, label, attention, reach } = args;
  const at = label?.indexOf("=") ?? -1;
  const given = {
    contextRef,
    role,
    agentHandle: agentHandle?.replace(/^@/, ""),
    projectKey,
    parentUlid,
    rootUlid,
    chainId,
    reach,
    ...(label === undefined ? {} : at < 0 ? { label } : { labels: { [label.slice(0, at)]: label.slice(at + 1) } }),
    ...(attention ? { attention, oldestFirst: true } : {}),
    open: wanted === undefined || wanted === "FAILED" ? undefined : wanted !== "CLOSED",
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function isWanted({ row, facts }: SessionWithFacts, wanted: string | undefined, attention: boolean): boolean {
  const { state } = sessionState(facts);
  if (wanted !== undefined && pmStatus(state) !== wanted && state.toUpperCase() !== wanted) return false;
  return !attention || sessionAttention(row.sessionUlid, facts).length > 0;
}

/** Over all pages. */
async function totalsOf(store: Store, filter: Omit<FactsFilter, "limit">, wanted: string | undefined): Promise<Record<string, number>> {
  const all = (await store.facts.list({ ...filter, limit: mostLooked })).map(withFacts).filter((one) => isWanted(one, wanted, true));
  return { sessions: all.length, costMicros: all.reduce((sum, { row }) => sum + row.turns.usage.costMicros, 0) };
}

/** One session, or the chain whose id it is; of a purged session what is left of it. Error: NOT_FOUND. */
export async function getSession(deps: Deps, args: { sessionUlid?: string; chainId?: string; turnId?: string }): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const reference = args.sessionUlid ?? args.chainId;
  if (reference === undefined) throw new BatonError("INVALID_ARGUMENT", "Give sessionUlid or chainId.", { field: "sessionUlid" });
  const found = args.chainId === undefined ? await factsOf(store, reference) : null;
  if (!found) return oneChain(deps, store, args.chainId ?? reference);
  if (found.purge) return tombstone(found);
  const turn = args.turnId === undefined ? null : await store.turns.get(found.sessionUlid, args.turnId);
  if (args.turnId !== undefined && !turn) throw new BatonError("NOT_FOUND", `Session ${found.name} has no turn "${args.turnId}".`, { field: "turnId" });
  return fullView(withFacts(found), { namespace: deps.options.temporalNamespace, turn });
}

async function oneChain(deps: Deps, store: Store, chainId: string): Promise<Record<string, unknown>> {
  const chain = isUlid(chainId) ? await store.chains.get(chainId.toUpperCase()) : null;
  if (!chain) throw noSession(chainId);
  return { chain: await chainView(store, chain, deps.options.temporalNamespace) };
}

const factsOf = (store: Store, reference: string): Promise<FactsRow | null> =>
  isUlid(reference) ? store.facts.get(reference.toUpperCase()) : store.facts.byName(reference);

/** Approvals, by default the open ones; newest first. */
export async function listApprovals(deps: Deps, args: ApprovalsArgs): Promise<Page> {
  const store = await deps.getStore();
  const named = args.sessionUlid === undefined ? null : await findSessionOrChain(store, args.sessionUlid);
  const chainId = args.chainId ?? named?.chain?.chainId;
  const limit = Math.min(args.limit ?? 100, 200);
  const state = args.state?.trim().toLowerCase() ?? "open";
  if (!approvalStates.includes(state))
    throw new BatonError("INVALID_ARGUMENT", `"${args.state}" is no state of an approval.`, { field: "state", allowed: approvalStates });
  const rows = await store.approvals.list({
    ...(named?.session ? { sessionUlid: named.session.sessionUlid } : {}),
    ...(chainId ? { chainId } : {}),
    ...(args.cursor === undefined ? {} : { before: await placeOf(store, args.cursor, args.reach) }),
    ...(args.reach ? { reach: args.reach } : {}),
    state,
    limit,
  });
  // The fewer, the more of each.
  const each = Math.max(4_000, Math.min(16_000, Math.floor((defaultBytes * 0.9) / rows.length)));
  const { kept, truncated } = fitting(
    rows.map((row) => approvalView(row, each)),
    defaultBytes,
  );
  const last = rows[kept.length - 1];
  const more = last && (truncated || rows.length === limit);
  return {
    data: { approvals: kept, ...(truncated ? { truncated: true } : {}) },
    ...(more ? { page: { nextCursor: `${last.position}.${last.approvalId}` } } : {}),
  };
}

/** A cursor is a place, which stays when its approval has gone; an approval's id stands for its place. Error: INVALID_ARGUMENT. */
async function placeOf(store: Store, cursor: string, reach: Viewer | undefined): Promise<{ position: number; approvalId: string }> {
  const [, position, approvalId] = /^(\d{1,16})\.(.+)$/.exec(cursor) ?? [];
  if (position !== undefined && approvalId !== undefined) return { position: Number(position), approvalId };
  const found = await store.approvals.position(cursor, reach);
  if (found === null) throw noCursor();
  return { position: found, approvalId: cursor };
}

const noCursor = (): BatonError =>
  new BatonError("INVALID_ARGUMENT", "That is no cursor: send page.nextCursor of the last answer, or none.", { field: "cursor" });
