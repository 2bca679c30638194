import { ActivityFailure, ApplicationFailure, TimeoutFailure, isCancellation } from "@temporalio/workflow";
import { failureTypes } from "../contracts/failures.ts";

/** What a failed attempt means for its turn. */
export type AttemptLoss =
  /** the cancel that we asked for */
  | { kind: "cancelled" }
  /** the session's rows are gone */
  | { kind: "gone" }
  /** it cannot have a workspace, nor can any other turn of the session */
  | { kind: "workspace_failed"; why: string }
  /** try again; `counts`: towards the limit of attempts; `wait`: not at once */
  | { kind: "lost"; counts: boolean; wait: boolean; why: string };

/** Reads the error of a `runTurn` activity. */
export function readAttemptError(error: unknown): AttemptLoss {
  if (isCancellation(error)) return { kind: "cancelled" };
  const cause = error instanceof ActivityFailure ? error.cause : error;
  // The host went silent: the next attempt waits in the host's queue until it is back. The agent may well be alive: no respawn, no count.
  if (cause instanceof TimeoutFailure) return { kind: "lost", counts: false, wait: false, why: `timeout: ${cause.timeoutType}` };
  if (!(cause instanceof ApplicationFailure)) return { kind: "lost", counts: true, wait: true, why: String(cause) };
  if (cause.type === failureTypes.sessionGone) return { kind: "gone" };
  if (cause.type === failureTypes.workspaceFailed) return { kind: "workspace_failed", why: cause.message };
  // A shutdown of the host or a second claim cost the agent nothing.
  if (cause.type === failureTypes.fenced) return { kind: "lost", counts: false, wait: true, why: cause.message };
  if (cause.type === failureTypes.attemptLost) return { kind: "lost", counts: wasRespawned(cause), wait: false, why: cause.message };
  return { kind: "lost", counts: true, wait: true, why: cause.message };
}

/** Seconds before the next attempt: none for the first three that may go at once, then doubling up to 30. */
export function attemptPause(attempt: number, wait: boolean): number {
  const step = wait ? attempt - 1 : attempt - 4;
  return step < 0 ? 0 : Math.min(30, 2 ** step);
}

function wasRespawned(failure: ApplicationFailure): boolean {
  return (failure.details ?? []).some((d) => typeof d === "object" && d !== null && (d as { respawned?: unknown }).respawned === true);
}
