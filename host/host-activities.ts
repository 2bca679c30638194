import { CompleteAsyncError, Context } from "@temporalio/activity";
import { ApplicationFailure } from "@temporalio/common";
import { BatonError, failureTypes } from "../contracts/failures.ts";
import type { HostActivities } from "../contracts/messages.ts";
import type { SessionRow } from "../store/rows.ts";
import type { HostDeps } from "./deps.ts";
import type { Keeper } from "./keeper.ts";
import { workspacePlan } from "./workspace-plan.ts";

/** The effects that run on this host's own queue. */
export function createHostActivities(deps: HostDeps, keeper: Keeper): HostActivities {
  async function sessionRow(sessionUlid: string): Promise<SessionRow> {
    const row = await deps.store.sessions.get(sessionUlid);
    if (row) return row;
    throw ApplicationFailure.nonRetryable(`Session ${sessionUlid} has no row any more.`, failureTypes.sessionGone);
  }

  return {
    async prepareWorkspace({ sessionUlid }) {
      const session = await sessionRow(sessionUlid);
      // A checkout of a large repository may take longer than one beat's time-out.
      const beating = setInterval(() => Context.current().heartbeat(), deps.config.hostBeatMs);
      try {
        const made = await deps.workspaces.prepare(workspacePlan(session));
        await deps.store.sessions.workspaceReady(sessionUlid, { ...made, branch: session.branchName });
        return made;
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
      const accepted = await keeper.accept(args, Context.current().info.base64TaskToken);
      if (accepted === "gone") throw ApplicationFailure.nonRetryable(`Turn ${args.turnId} or its session has no row any more.`, failureTypes.sessionGone);
      if (accepted) return accepted;
      await deps.stopPoint("handed");
      throw new CompleteAsyncError();
    },

    async verifyCandidate({ sessionUlid, tree }) {
      const session = await sessionRow(sessionUlid);
      const base = session.headAtStart ?? session.baseRef;
      const captured = await deps.workspaces.capture({ plan: workspacePlan(session), base, turnId: "verify", attempt: 1, at: session.createdAt });
      return { unchanged: captured.stable && captured.tree === tree, tree: captured.tree };
    },
  };
}
