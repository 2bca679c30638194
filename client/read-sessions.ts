import { BatonError } from "../contracts/failures.ts";
import type { Viewer } from "../store/reach.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { defaultBytes, fitting, mostBytes } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { chainView } from "./read-chains.ts";
import { findSession } from "./requests.ts";
import { approvalView, fullView, liveHosts, loadFacts, type SessionWithFacts, summaryView } from "./session-view.ts";

export interface ListArgs {
  limit?: number;
  contextRef?: string;
  status?: string;
  role?: string;
  agentHandle?: string;
  projectKey?: string;
  parentUlid?: string;
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
  /** whose eyes; set by `authorize` */
  reach?: Viewer;
}
export interface Page {
  data: Record<string, unknown>;
  page?: { nextCursor: string };
}

/** Sessions, newest first (with `attention`: those that wait for somebody, oldest first). */
export async function listSessions(deps: Deps, args: ListArgs): Promise<Page> {
  const store = await deps.getStore();
  const limit = Math.min(args.limit ?? 200, 200);
  const { contextRef, status, attention, cursor, limit: _, ...filter } = args;
  const rows = await listRows(store, { ...filter, agentHandle: filter.agentHandle?.replace(/^@/, ""), limit, before: cursor }, contextRef);
  const found = await withFacts(store, rows);
  const wanted = status?.trim().toUpperCase();
  let views = found.map(summaryView).filter((view) => wanted === undefined || view["status"] === wanted || String(view["state"]).toUpperCase() === wanted);
  if (attention) views = views.filter((view) => (view["attention"] as unknown[]).length > 0).reverse();
  const { kept, truncated } = fitting(views, mostBytes);
  // The cursor is the last row that was looked at, shown or not: a filter must not end the list early.
  const lastShown = truncated ? String(kept.at(-1)?.["sessionUlid"]) : rows.at(-1)?.sessionUlid;
  const more = truncated || rows.length === limit;
  const totals = {
    sessions: views.length,
    costMicros: found.reduce((sum, { turns }) => sum + turns.reduce((s, turn) => s + (turn.result?.usage.costMicros ?? 0), 0), 0),
  };
  return { data: { sessions: kept, ...(attention ? { totals } : {}) }, ...(more && lastShown ? { page: { nextCursor: lastShown } } : {}) };
}

/** `contextRef` is taken exactly, or as a bare task key. */
async function listRows(store: Store, filter: Record<string, unknown> & { limit: number }, contextRef: string | undefined): Promise<SessionRow[]> {
  const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as { limit: number };
  if (contextRef === undefined) return store.sessions.list(given);
  const exact = await store.sessions.list({ ...given, contextRef });
  return exact.length > 0 ? exact : store.sessions.list({ ...given, contextRef: `TASK-${contextRef}` });
}

/** A few at a time: a list of 200 must not take the whole pool. */
async function withFacts(store: Store, rows: SessionRow[]): Promise<SessionWithFacts[]> {
  const hosts = await liveHosts(store);
  const found: SessionWithFacts[] = [];
  for (let at = 0; at < rows.length; at += 4) found.push(...(await Promise.all(rows.slice(at, at + 4).map((row) => loadFacts(store, row, hosts)))));
  return found;
}

/** One session, or the chain whose id it is. Error: NOT_FOUND. */
export async function getSession(deps: Deps, args: { sessionUlid?: string; chainId?: string; turnId?: string }): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const reference = args.chainId ?? args.sessionUlid;
  if (reference === undefined) throw new BatonError("INVALID_ARGUMENT", "Give sessionUlid or chainId.", { field: "sessionUlid" });
  const chain = args.chainId ?? (/^[0-9A-HJKMNP-TV-Z]{26}$/i.test(reference) ? reference : null);
  const found = chain ? await store.chains.get(chain) : null;
  if (found) return { chain: await chainView(store, found) };
  const row = await findSession(store, reference);
  return fullView(await loadFacts(store, row), { namespace: deps.options.temporalNamespace, ...(args.turnId ? { turnId: args.turnId } : {}) });
}

/** Approvals, by default the open ones. */
export async function listApprovals(deps: Deps, args: ApprovalsArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const sessionUlid = args.sessionUlid === undefined ? undefined : (await findSession(store, args.sessionUlid)).sessionUlid;
  const rows = await store.approvals.list({
    ...(sessionUlid ? { sessionUlid } : {}),
    ...(args.chainId ? { chainId: args.chainId } : {}),
    ...(args.reach ? { reach: args.reach } : {}),
    state: args.state ?? "open",
    limit: Math.min(args.limit ?? 100, 200),
  });
  const { kept, truncated } = fitting(rows.map(approvalView), defaultBytes);
  return { approvals: kept, ...(truncated ? { truncated: true } : {}) };
}
