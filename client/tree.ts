import { BatonError } from "../contracts/failures.ts";
import { pmStatus, sessionState } from "../contracts/session-status.ts";
import type { Viewer } from "../store/reach.ts";
import type { FactsRow } from "../store/rows.ts";
import { fitting, mostBytes } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { findSession, findSessionOrChain } from "./requests.ts";
import { withFacts } from "./session-view.ts";

export interface TreeArgs {
  rootUlid?: string;
  sessionUlid?: string;
  /** whose eyes; set by `authorize`: who judges an executor is launched below it, and no part of its subtree */
  reach?: Viewer;
}

const mostNodes = 1_000;

/** Who launched whom below a session, parents before their children, with what each cost by itself and with all below it. Errors: INVALID_ARGUMENT, NOT_FOUND. */
export async function tree(deps: Deps, args: TreeArgs): Promise<Record<string, unknown>> {
  const reference = args.sessionUlid ?? args.rootUlid;
  if (reference === undefined || (args.sessionUlid !== undefined && args.rootUlid !== undefined))
    throw new BatonError("INVALID_ARGUMENT", "Give rootUlid or sessionUlid, not both.", { field: "rootUlid" });
  const store = await deps.getStore();
  const { session, chain } = await findSessionOrChain(store, reference);
  const { sessionUlid: root } = session ?? (await findSession(store, chain.executorUlid));
  const rows = await store.facts.list({ limit: mostNodes, rootUlid: root, oldestFirst: true, ...(args.reach ? { reach: args.reach } : {}) });
  const below = childrenOf(rows);
  const nodes: Record<string, unknown>[] = [];
  const add = (row: FactsRow, depth: number): number => {
    const children = below.get(row.sessionUlid) ?? [];
    const node = nodeOf(row, depth, children.length);
    nodes.push(node);
    const total = children.reduce((sum, child) => sum + add(child, depth + 1), row.turns.usage.costMicros);
    node["totalCostMicros"] = total;
    return total;
  };
  const top = rows.find((row) => row.sessionUlid === root);
  const costMicros = top ? add(top, 0) : 0;
  const { kept, truncated } = fitting(nodes, mostBytes - 1_000);
  return {
    rootUlid: top?.rootUlid ?? root,
    sessions: kept,
    totals: { sessions: nodes.length, running: nodes.filter((node) => node["status"] === "RUNNING").length, costMicros },
    ...(truncated || rows.length === mostNodes ? { truncated: true } : {}),
  };
}

function childrenOf(rows: FactsRow[]): Map<string, FactsRow[]> {
  const below = new Map<string, FactsRow[]>();
  for (const row of rows) if (row.parentUlid !== null) below.set(row.parentUlid, [...(below.get(row.parentUlid) ?? []), row]);
  return below;
}

function nodeOf(row: FactsRow, depth: number, children: number): Record<string, unknown> {
  const { state, since, reason } = sessionState(withFacts(row).facts);
  return {
    sessionUlid: row.sessionUlid,
    name: row.name,
    parentUlid: row.parentUlid,
    depth,
    children,
    role: row.role,
    agentHandle: row.agentHandle,
    status: pmStatus(state),
    state,
    reason: reason.slice(0, 200),
    since,
    launchReason: row.launchReason.slice(0, 200),
    turns: row.turns.total,
    costMicros: row.turns.usage.costMicros,
  };
}
