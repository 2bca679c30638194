import { setTimeout as sleep } from "node:timers/promises";
import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import { sessionState } from "../contracts/session-status.ts";
import type { Inspection, SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { busy, isBusy } from "./input.ts";
import { tombstone } from "./purged.ts";
import { actorOf, findAnySession, record, requestKey, storedAnswer } from "./requests.ts";
import { loadFacts } from "./session-view.ts";

export interface PurgeArgs {
  sessionUlid: string;
  /** default true; false: only the records go, after they were written to a file */
  deleteFiles?: boolean;
  /** says what would go, and changes nothing */
  dryRun?: boolean;
  /** also what is in no commit of the base; it stays on a ref */
  force?: boolean;
  clientRequestId?: string;
  actor?: string;
}

const hostMs = 25_000;
const deletionMs = 20_000;

/**
 * Deletes a session's records and, by default, its worktree, branch and files; an idle session is closed first, and its tombstone stays.
 * Idempotent. Errors: CONFLICT_STATE while it runs or waits, in an open chain, and for changes that are not merged without `force`.
 */
export async function purge(deps: Deps, caller: Caller, args: PurgeArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const { dryRun = false, deleteFiles = true, force = false } = args;
  // First of all: a key says which purge this is, and a dry run asks what the call with it would come to.
  const { dryRun: _, ...asked } = args;
  const earlier = await storedAnswer(store, requestKey(caller, "purge", asked));
  const row = await findAnySession(store, args.sessionUlid);
  if (row.purge) return { ...(await ended(store, row)), dryRun, ...(earlier ? { replayed: true } : {}) };
  await refuseBusy(store, row);
  const [records, files] = await Promise.all([store.purge.counts(row.sessionUlid), inspect(store, row)]);
  const what = {
    counts: { ...records.counts, refs: deleteFiles ? files.refs : 0 },
    bytes: { events: records.bytes, ...(deleteFiles ? files.bytes : {}) },
    worktreePath: row.worktreePath,
    branchName: row.branchName,
  };
  const unmerged = deleteFiles ? files.unmerged : null;
  // What the host could not look at, it does not delete: not even by force.
  const problem = deleteFiles ? files.problem : undefined;
  if (dryRun) {
    const { sessionUlid, name } = row;
    const needsForce = unmerged !== null;
    return { sessionUlid, name, dryRun, purged: false, deleteFiles, wouldDelete: what, unmerged, needsForce, ...(problem === undefined ? {} : { problem }) };
  }
  if (problem !== undefined) throw new BatonError("CONFLICT_STATE", `Nothing was deleted: ${problem}`, { currentState: "idle", retryable: true });
  if (unmerged !== null && !force) throw notMerged(row, unmerged);
  const { replayed } = await record(store, caller, { action: "purge", args: asked, target: row.sessionUlid }, async (tx) => {
    const by = { at: new Date().toISOString(), by: caller.principal, actor: actorOf(caller, asked) };
    await store.purge.begin(tx, { sessionUlid: row.sessionUlid, purge: { ...by, deleteFiles, ...what } });
    return { sessionUlid: row.sessionUlid };
  });
  // Closed in its rows; its workflow ends when it hears of it, and the sweeper tells it again.
  await deps.starter.signal(row.workflowId, "close", { reason: "purged" }).catch(() => false);
  return { ...(await ended(store, row)), dryRun, ...(replayed ? { replayed } : {}) };
}

async function refuseBusy(store: Store, row: SessionRow): Promise<void> {
  const chain = row.chainId === null ? null : await store.chains.get(row.chainId);
  if (chain?.state === "open")
    throw new BatonError("CONFLICT_STATE", `The session belongs to chain ${chain.chainId}, which is still open: end that first.`, {
      currentState: "open",
      next: [{ tool: "pm_session", args: { action: "get", chainId: chain.chainId }, why: "where the chain is" }],
    });
  if (row.closedAt !== null) return;
  const found = await loadFacts(store, row);
  if (!isBusy(found)) return;
  const { message } = busy(row, found, "…");
  throw new BatonError("CONFLICT_STATE", `${message.split(":")[0]}: abort it, or wait until it is idle, then purge.`, {
    currentState: sessionState(found.facts).state,
    next: [{ tool: "pm_session", args: { action: "abort", sessionUlid: row.sessionUlid }, why: "end the turn and drop what waits" }],
  });
}

/** What the session's host has of it. Errors: UNAVAILABLE while the host is away. */
async function inspect(store: Store, row: SessionRow): Promise<Inspection> {
  const inspectionId = ulid();
  await store.purge.ask({ inspectionId, sessionUlid: row.sessionUlid, hostId: row.hostId });
  for (const end = performance.now() + hostMs; performance.now() < end; await sleep(25)) {
    const answer = await store.purge.heard(inspectionId);
    if (answer) return answer;
  }
  throw new BatonError("UNAVAILABLE", `Host ${row.hostId}, which has the session's files, does not answer: nothing was deleted. Repeat when it is up.`, {
    next: [{ tool: "pm_health", args: {}, why: "which hosts are up" }],
  });
}

/** The tombstone, when the host has done it or `deletionMs` are over; `purging: true` then, and it goes on by itself. */
async function ended(store: Store, row: SessionRow): Promise<Record<string, unknown>> {
  let now = await findAnySession(store, row.sessionUlid);
  if (now.purgedAt === null) await store.purge.remind(now);
  for (const end = performance.now() + deletionMs; now.purgedAt === null && performance.now() < end; now = await findAnySession(store, row.sessionUlid))
    await sleep(50);
  const { purge: done } = now;
  return {
    ...tombstone(now),
    deleteFiles: done?.deleteFiles,
    deleted: { counts: done?.counts, bytes: done?.bytes, worktreePath: now.worktreePath, branchName: now.branchName },
  };
}

function notMerged(row: SessionRow, unmerged: string): BatonError {
  const next = (args: Record<string, unknown>, why: string) => ({ tool: "pm_session", args: { sessionUlid: row.sessionUlid, ...args }, why });
  return new BatonError(
    "CONFLICT_STATE",
    `The session's changes (${unmerged}) are in no commit of ${row.baseRef}: merge them, or purge with force (they stay on refs of their own, and what git cannot hold in a directory beside the worktree).`,
    {
      currentState: "unmerged",
      next: [
        next({ action: "diff" }, "what is not merged"),
        next({ action: "purge", force: true }, "delete it all the same"),
        next({ action: "purge", deleteFiles: false }, "delete the records only"),
      ],
    },
  );
}
