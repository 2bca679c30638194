import { Client, Connection, isGrpcServiceError, ServiceError } from "@temporalio/client";
import { BatonError } from "../contracts/failures.ts";

/** A call to Temporal answers within this, or the door says UNAVAILABLE. Milliseconds. */
const deadlineMs = 5_000;

/** Temporal's client, connected by its first call and again after a failure: a door comes up while Temporal is away. */
export function lazyTemporal(a: { address: string; namespace: string }): { client: Client; close(): Promise<void> } {
  const connection = Connection.lazy({ address: a.address, connectTimeout: deadlineMs });
  return { client: new Client({ connection, namespace: a.namespace }), close: () => connection.close() };
}

const recorded =
  "Temporal does not answer. What was asked is recorded and goes on when Temporal is back; repeat the call with the same clientRequestId to be sure.";

/** Runs a call with the deadline. Errors: BatonError UNAVAILABLE with `say` when Temporal is away; what Temporal itself answers comes through. */
export async function callTemporal<T>(client: Client, call: () => Promise<T>, say: string = recorded): Promise<T> {
  try {
    return await client.withDeadline(Date.now() + deadlineMs, call);
  } catch (error) {
    if (!isAway(error)) throw error;
    throw new BatonError("UNAVAILABLE", say, { applied: "unknown", retryable: true, retryAfterMs: 2_000 });
  }
}

/** Codes that say "no answer", of gRPC: CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNAVAILABLE. */
const awayCodes = new Set([1, 2, 4, 8, 14]);

function isAway(error: unknown): boolean {
  const cause = error instanceof ServiceError ? error.cause : error;
  if (isGrpcServiceError(cause)) return awayCodes.has(cause.code);
  return cause instanceof Error && /connect|deadline/i.test(cause.message) && !(cause instanceof BatonError);
}

/** What Temporal says when it refuses a call that it has heard (gRPC: INVALID_ARGUMENT), as when a run has had all the Signals it may get; null: another error. */
export function refusalOf(error: unknown): string | null {
  const cause = error instanceof ServiceError ? error.cause : error;
  return isGrpcServiceError(cause) && cause.code === 3 ? cause.details : null;
}
