import { ApplicationFailure } from "@temporalio/common";
import { BatonError, failureTypes } from "../contracts/failures.ts";

/** Runs an effect; a BatonError that a retry cannot cure becomes a failure that Temporal does not retry. */
export async function effect<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof BatonError)) throw error;
    // A full queue empties; the others stay as they are.
    if (error.detail.retryable === true || error.code === "QUEUE_FULL" || error.code === "INTERNAL") throw error;
    throw ApplicationFailure.nonRetryable(error.message, error.code);
  }
}

/** The row. Error when it is gone: the workflow that asked for it ends. */
export function present<T>(row: T | null, what: string): T {
  if (row === null) throw ApplicationFailure.nonRetryable(`${what} is gone`, failureTypes.sessionGone);
  return row;
}
