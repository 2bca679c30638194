import { pmStatus, sessionState } from "../contracts/session-status.ts";
import type { FactsRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { findSession, record } from "./requests.ts";
import { inTurnOrder } from "./turn-order.ts";
import { loadFacts, withFacts } from "./session-view.ts";

export interface AbortArgs {
  sessionUlid: string;
  reason?: string;
  dropQueue?: boolean;
  /** also what the session launched, and they; the deepest first */
  cascade?: boolean;
  clientRequestId?: string;
  actor?: string;
}

/** What one abort hits; stored, so that a late repeat hits neither the next turn nor what was queued since. */
interface Target {
  sessionUlid: string;
  workflowId: string;
  hostId: string;
  turnId: string;
  /** inputs that waited then */
  drop: string[];
}
const mostBelow = 500;
/** Looks for sessions that were launched meanwhile. */
const mostPasses = 10;

/** Interrupts the turn that runs now, or is about to, and only that one. Nothing running: `aborted: false`. The session stays usable. */
export async function abort(deps: Deps, caller: Caller, args: AbortArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const { sessionUlid } = await findSession(store, args.sessionUlid);
  // Read before the transaction: one that waits for a second connection could starve the pool.
  const rows = args.cascade ? await treeOf(store, caller, sessionUlid) : [(await loadFacts(store, { sessionUlid })).row];
  const found = rows.map((row) => targetOf(row, args.dropQueue)).filter((target) => target !== null);
  const { ids, replayed } = await record(store, caller, { action: "abort", args: { ...args }, target: sessionUlid }, async () => ({ targets: found }));
  for (const target of ids.targets) await hit(deps, store, target, args);
  if (args.cascade && !replayed) await hitNew(deps, store, caller, sessionUlid, new Set(rows.map((row) => row.sessionUlid)), args);
  const own = ids.targets.find((target) => target.sessionUlid === sessionUlid);
  const { facts } = await loadFacts(store, { sessionUlid });
  return {
    sessionUlid,
    aborted: own !== undefined,
    ...(own ? { turnId: own.turnId } : {}),
    status: pmStatus(sessionState(facts).state),
    ...(args.cascade
      ? { cascade: ids.targets.filter((target) => target !== own).map(({ sessionUlid: below, turnId }) => ({ sessionUlid: below, turnId })) }
      : {}),
    ...(replayed ? { replayed } : {}),
  };
}

function targetOf(row: FactsRow, dropQueue: boolean | undefined): Target | null {
  const { facts, pending } = withFacts(row);
  // A turn that no host has taken yet (its workspace is being made, its host is away) is known by the input that opens it.
  const turnId = facts.turn && facts.turn.state !== "done" ? facts.turn.turnId : row.closedAt === null ? inTurnOrder(pending)[0]?.inputId : undefined;
  if (turnId === undefined) return null;
  const drop = dropQueue === false ? [] : pending.map((input) => input.inputId).filter((inputId) => inputId !== turnId);
  return { sessionUlid: row.sessionUlid, workflowId: row.workflowId, hostId: row.hostId, turnId, drop };
}

async function hit(deps: Deps, store: Store, { sessionUlid, workflowId, hostId, turnId, drop }: Target, { reason, dropQueue }: AbortArgs): Promise<void> {
  const told = await deps.starter.signal(workflowId, "abort", {
    turnId,
    drop,
    ...(reason ? { reason } : {}),
    // `false` is an answer too: a workflow of an older Baton, which knows no list, drops what waits unless it is told not to.
    ...(dropQueue === undefined ? {} : { dropQueue }),
  });
  // Its workflow has just ended: the inputs wait for the session's next generation, which must not run them.
  if (!told) await store.inputs.fail(sessionUlid, [turnId, ...drop], "aborted");
  // After the Signal, so that the beat it causes can learn of the cancel.
  await store.hosts.post(null, { hostId, kind: "poke", sessionUlid, body: { turnId } });
}

/** An agent may have launched another one before its own abort reached it: that one is no one's to wait for any more. */
async function hitNew(deps: Deps, store: Store, caller: Caller, root: string, known: Set<string>, args: AbortArgs): Promise<void> {
  for (let pass = 0; pass < mostPasses; pass += 1) {
    const fresh = (await treeOf(store, caller, root)).filter((row) => !known.has(row.sessionUlid));
    if (fresh.length === 0) return;
    for (const row of fresh) {
      known.add(row.sessionUlid);
      const target = targetOf(row, args.dropQueue);
      if (target) await hit(deps, store, target, args);
    }
  }
}

/** The open sessions of the tree; to an agent without those who judge it, which its chain launched below it. */
async function treeOf(store: Store, { session }: Caller, root: string): Promise<FactsRow[]> {
  const reach = session === undefined ? {} : { reach: { session, subtree: true } as const };
  return deepestFirst(root, await store.facts.list({ limit: mostBelow, rootUlid: root, open: true, ...reach }));
}

/** Below first: an agent whose child is interrupted must not be there to launch the next. */
function deepestFirst(root: string, rows: FactsRow[]): FactsRow[] {
  const parents = new Map(rows.map((row) => [row.sessionUlid, row.parentUlid]));
  const depth = (ulid: string): number => {
    let far = 0;
    for (let at: string | null | undefined = ulid; at && at !== root && far < rows.length; at = parents.get(at)) far += 1;
    return far;
  };
  return rows.toSorted((a, b) => depth(b.sessionUlid) - depth(a.sessionUlid));
}
