import { setTimeout as sleep } from "node:timers/promises";
import { ActivityNotFoundError } from "@temporalio/client";
import { ApplicationFailure } from "@temporalio/common";
import { failureTypes } from "../contracts/failures.ts";
import type { TurnResult } from "../contracts/messages.ts";
import type { StoredResult, TurnRow } from "../store/rows.ts";
import type { HostDeps } from "./deps.ts";
import { unlessDropped } from "./held-turn.ts";

/** The activity's result from stored rows: ids, numbers and hashes, never text. */
export function turnResult(turn: TurnRow, result: StoredResult, lastSeq: number): TurnResult {
  return {
    turnId: turn.turnId,
    outcome: result.outcome,
    ...(result.failure ? { failure: { ...result.failure, message: result.failure.message.slice(0, 500) } } : {}),
    lastSeq,
    providerSessionId: result.providerSessionId,
    usage: result.usage,
    ...(result.candidate && result.stable !== false ? { candidate: result.candidate } : {}),
    consumedInputIds: [turn.inputId],
  };
}

/**
 * Gives Temporal the result, again and again until it has it; a token that is gone means a newer attempt asks the row itself.
 * Throws Fenced when dropped meanwhile, as the others here: who has the host next finds that it is not reported.
 */
export async function reportResult(deps: HostDeps, turn: TurnRow, result: TurnResult, drop?: AbortSignal): Promise<void> {
  await untilAnswered(deps, turn, drop, async (token) => {
    await deps.completion.complete(token, result);
    await deps.stopPoint("told");
  });
  await deps.store.turns.markReported(turn.sessionUlid, turn.turnId);
}

/** Tells the workflow that this attempt ended without a result; it decides about the next. */
export async function reportAttemptLost(deps: HostDeps, turn: TurnRow, message: string, respawned: boolean, drop: AbortSignal): Promise<void> {
  const failure = ApplicationFailure.create({ type: failureTypes.attemptLost, message, nonRetryable: true, details: [{ respawned }] });
  await untilAnswered(deps, turn, drop, (token) => deps.completion.fail(token, failure));
}

/** Tells the workflow that the session can have no workspace: it ends as failed. */
export async function reportWorkspaceFailed(deps: HostDeps, turn: TurnRow, message: string, drop: AbortSignal): Promise<void> {
  const failure = ApplicationFailure.nonRetryable(message.slice(0, 2_000), failureTypes.workspaceFailed);
  await untilAnswered(deps, turn, drop, (token) => deps.completion.fail(token, failure));
}

async function untilAnswered(deps: HostDeps, turn: TurnRow, drop: AbortSignal | undefined, send: (token: Uint8Array) => Promise<void>): Promise<void> {
  const again = repeated(deps, turn, drop, send);
  await (drop ? unlessDropped(drop, "report", again) : again);
}

async function repeated(deps: HostDeps, turn: TurnRow, drop: AbortSignal | undefined, send: (token: Uint8Array) => Promise<void>): Promise<void> {
  if (!turn.taskToken) return;
  const token = Buffer.from(turn.taskToken, "base64");
  for (let wait = 50; !drop?.aborted; wait = Math.min(wait * 2, 2_000)) {
    try {
      return await send(token);
    } catch (error) {
      if (error instanceof ActivityNotFoundError) return;
      deps.log.warn({ sessionUlid: turn.sessionUlid, turnId: turn.turnId, error: String(error) }, "Temporal did not take the turn's end; repeating");
      await sleep(wait);
    }
  }
}
