import { BatonError } from "../contracts/failures.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { dryRun } from "./dry-run.ts";
import { insertLaunch } from "./insert-launch.ts";
import { planChecked } from "./launch-checks.ts";
import type { LaunchArgs } from "./launch-plan.ts";
import { actorOf, requestKey, storedAnswer } from "./requests.ts";
import { launchedView, loadFacts } from "./session-view.ts";

/** What a launch's key keeps. `warnings`: what the first answer warned of. A type, not an interface: it must fit `Record<string, unknown>`. */
export type LaunchIds = { sessionUlid: string; chainId: string | null; warnings?: string[] };
export interface Launched {
  data: Record<string, unknown>;
  replayed: boolean;
  warnings: string[];
}

/** Launches a session (or a chain) once per key. The row is written first, then started by whoever sees it (DESIGN section 4.2, 4.3). */
export async function launch(deps: Deps, caller: Caller, args: LaunchArgs, action: "launch_task" | "start"): Promise<Launched> {
  if (args.dryRun) return dryRun(deps, caller, args, action);
  const store = await deps.getStore();
  const key = requestKey(caller, "create", { action, ...args });
  const earlier = await storedAnswer<LaunchIds>(store, key);
  if (earlier) return started(deps, store, earlier, true);
  const checked = await planChecked(deps, store, caller, args, action);
  const { contextRef, warnings } = checked.plan;

  let superseded: SessionRow | null = null;
  const audit = { principal: caller.principal, actor: actorOf(caller, { ...args }), action, target: contextRef };
  const { ids, replayed } = await store.recordRequest<LaunchIds>(key, audit, async (tx) => {
    const made = await insertLaunch(deps, store, tx, caller, { args, action, key }, checked);
    superseded = made.superseded;
    const { sessionUlid, chainId } = made.row;
    return { sessionUlid, chainId, ...(warnings.length > 0 ? { warnings } : {}) };
  });
  // The rows are closed; its workflow ends when it hears of it, and the sweeper tells it again.
  if (superseded) await deps.starter.signal((superseded as SessionRow).workflowId, "close", { reason: "superseded" }).catch(() => false);
  return started(deps, store, ids, replayed);
}

/** Starts what is not started yet, then renders the answer from rows. */
async function started(deps: Deps, store: Store, ids: LaunchIds, replayed: boolean): Promise<Launched> {
  let row = await mustGet(store, ids.sessionUlid);
  const chain = ids.chainId ? await store.chains.get(ids.chainId) : null;
  // A chain that ended or a session that closed was started once, or failed as never started: never again.
  if (chain && chain.startedAt === null && chain.state === "open") await deps.starter.chain(chain);
  else if (!chain && row.startedAt === null && row.closedAt === null) await deps.starter.session(row);
  row = await mustGet(store, ids.sessionUlid);
  const [found, head] = await Promise.all([loadFacts(store, row), store.events.head(row.sessionUlid)]);
  // A launch answers from the beginning of the session's story, so that a caller misses nothing that happened meanwhile.
  const data = {
    ...launchedView(found),
    ...(chain ? { workflowId: chain.workflowId } : {}),
    cursors: { events: 0, deltas: 0 },
    nextSeq: 0,
    lastSeq: head?.lastSeq ?? row.lastSeq,
    ...(ids.chainId ? { chainId: ids.chainId } : {}),
    ...(row.purge ? { purgedAt: row.purgedAt ?? row.purge.at } : {}),
    ...(replayed ? { replayed: true } : {}),
  };
  return { data, replayed, warnings: ids.warnings ?? [] };
}

async function mustGet(store: Store, sessionUlid: string): Promise<SessionRow> {
  const row = await store.sessions.get(sessionUlid);
  if (!row) throw new BatonError("NOT_FOUND", `Session ${sessionUlid} was purged.`);
  return row;
}
