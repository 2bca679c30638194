import { ActivityCancellationType, proxyActivities } from "@temporalio/workflow";
import { failureTypes } from "../contracts/failures.ts";
import type { HostActivities, SessionActivities } from "../contracts/messages.ts";
import { sending } from "./message-size.ts";

/** Database effects on the engine's queue; they wait for Postgres as long as it takes. */
export const engine = sending(
  proxyActivities<SessionActivities>({
    startToCloseTimeout: "30s",
    retry: { initialInterval: "500ms", maximumInterval: "10s", nonRetryableErrorTypes: [failureTypes.sessionGone] },
  }),
);

/** `prepareWorkspace` on the session's host: transient trouble is retried, what git refuses is not. The host beats while git works. */
export function workspaceOn(taskQueue: string, beatTimeoutMs: number): Pick<HostActivities, "prepareWorkspace"> {
  return sending(
    proxyActivities<Pick<HostActivities, "prepareWorkspace">>({
      taskQueue,
      startToCloseTimeout: "15m",
      heartbeatTimeout: beatTimeoutMs,
      cancellationType: ActivityCancellationType.TRY_CANCEL,
      summary: "prepare the workspace",
      retry: { initialInterval: "1s", maximumInterval: "30s", nonRetryableErrorTypes: [failureTypes.workspaceFailed, failureTypes.sessionGone] },
    }),
  );
}

/**
 * `runTurn` on the session's host. One attempt only: the workflow loops, so that each loss is judged. No limit
 * on the wait for a worker: the turn waits for its host. The cancel is waited for, so that a result beats it.
 */
export function turnOn(taskQueue: string, beatTimeoutMs: number, summary: string): Pick<HostActivities, "runTurn"> {
  return sending(
    proxyActivities<Pick<HostActivities, "runTurn">>({
      taskQueue,
      startToCloseTimeout: "30d",
      heartbeatTimeout: beatTimeoutMs,
      retry: { maximumAttempts: 1 },
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      summary,
    }),
  );
}
