import { CompleteAsyncError, Context } from "@temporalio/activity";
import { ApplicationFailure } from "@temporalio/common";
import { BatonError, failureTypes } from "../contracts/failures.ts";
import type { HostActivities, RunTurnArgs } from "../contracts/messages.ts";
import type { SessionRow } from "../store/rows.ts";
import type { HostDeps } from "./deps.ts";
import type { Keeper } from "./keeper.ts";
import type { WorkspaceMaker } from "./make-workspace.ts";
import { workspacePlan } from "./workspace-plan.ts";

/** Most characters of a candidate's statistics that Temporal gets. */
const longestStat = 2_000;

/** The effects that run on this host's own queue. */
export function createHostActivities(deps: HostDeps, keeper: Keeper, workspaces: WorkspaceMaker): HostActivities {
  async function sessionRow(sessionUlid: string): Promise<SessionRow> {
    const row = await deps.store.sessions.get(sessionUlid);
    if (row && !row.purge) return row;
    throw ApplicationFailure.nonRetryable(`Session ${sessionUlid} has no row any more.`, failureTypes.sessionGone);
  }

  /** Does anything run or wait there that may change the tree? */
  async function isAtWork(sessionUlid: string): Promise<boolean> {
    const facts = await deps.store.facts.get(sessionUlid);
    return facts !== null && (facts.pending.length > 0 || (facts.newest !== null && facts.newest.state !== "done"));
  }

  /** While Postgres is away the attempt waits here: failing would use up all attempts of the turn in seconds. */
  async function acceptPatiently(args: RunTurnArgs): ReturnType<Keeper["accept"]> {
    const context = Context.current();
    const beating = setInterval(() => context.heartbeat(), deps.config.hostBeatMs);
    try {
      for (;;) {
        try {
          return await keeper.accept({ ...args, runId: context.info.workflowExecution?.runId }, context.info.base64TaskToken);
        } catch (error) {
          if (!(error instanceof BatonError) || error.code !== "UNAVAILABLE") throw error;
          deps.log.warn({ sessionUlid: args.sessionUlid, turnId: args.turnId, error: error.message }, "a turn cannot be claimed; repeating");
        }
        await context.sleep(1_000);
      }
    } finally {
      clearInterval(beating);
    }
  }

  return {
    async prepareWorkspace({ sessionUlid }) {
      const session = await sessionRow(sessionUlid);
      // A checkout of a large repository may take longer than one beat's time-out.
      const beating = setInterval(() => Context.current().heartbeat(), deps.config.hostBeatMs);
      try {
        return await workspaces.make(session);
      } catch (error) {
        if (error instanceof BatonError && error.detail.retryable) throw error;
        const message = (error as Error).message;
        // Git trouble that may pass gets three tries; the last one is the session's end.
        if (Context.current().info.attempt < 3 && !(error instanceof BatonError)) throw error;
        await deps.store.sessions.workspaceFailed(sessionUlid, message);
        throw ApplicationFailure.nonRetryable(message, failureTypes.workspaceFailed);
      } finally {
        clearInterval(beating);
      }
    },

    async runTurn(args) {
      const accepted = await acceptPatiently(args);
      if (accepted === "gone") throw ApplicationFailure.nonRetryable(`Turn ${args.turnId} or its session has no row any more.`, failureTypes.sessionGone);
      if (accepted) return accepted;
      await deps.stopPoint("handed");
      throw new CompleteAsyncError();
    },

    async verifyCandidate({ sessionUlid, tree }) {
      const session = await sessionRow(sessionUlid);
      if (await isAtWork(sessionUlid)) return { unchanged: false, tree, busy: true };
      const base = session.headAtStart ?? session.baseRef;
      const captured = await deps.workspaces.capture({ plan: workspacePlan(session), base, turnId: "verify", attempt: 1, at: session.createdAt });
      // Behind the capture again: what began meanwhile has a tree of its own to leave.
      if (await isAtWork(sessionUlid)) return { unchanged: false, tree, busy: true };
      if (captured.stable && captured.tree === tree) return { unchanged: true, tree };
      const { candidate } = await sessionRow(sessionUlid);
      const made =
        captured.stable && candidate?.tree === captured.tree ? { candidate: { ...candidate, diffStat: candidate.diffStat.slice(0, longestStat) } } : {};
      return { unchanged: false, tree: captured.tree, ...made };
    },
  };
}
