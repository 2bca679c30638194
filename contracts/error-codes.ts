import type { ErrorCode } from "./failures.ts";

/** What each code means to a caller, for help and the documentation. */
export const errorCodes: Record<ErrorCode, string> = {
  INVALID_ARGUMENT: "An argument is missing or wrong: `field` names it, `example` shows a good call.",
  UNKNOWN_ACTION: "The tool has no such action: `allowed` has those it has.",
  NOT_FOUND: "There is no such thing, or not for this caller.",
  CONFLICT_STATE: "Not in this state: `currentState` says which, `next` has calls that fit it.",
  IDEMPOTENCY_MISMATCH: "The clientRequestId was used for another request: send the same arguments, or take a new key.",
  PERMISSION_DENIED: "The caller's token does not allow it.",
  QUEUE_FULL: "The session's queue is full: wait for its turn to end.",
  LIMIT_EXCEEDED: "Above a limit: `field` and `allowed` say which.",
  UNSUPPORTED_BY_PROVIDER: "The agent cannot do this: `next` has what it can.",
  PROVIDER_UNAVAILABLE: "The agent is not installed here: the message says what to install.",
  RATE_LIMITED: "Too many calls at once: repeat after `retryAfterMs`.",
  UNAVAILABLE: "Postgres or Temporal is away, or Baton is not running: repeat after `retryAfterMs` with the same clientRequestId.",
  INTERNAL: "Baton's own fault, its log says more: repeat with the same clientRequestId.",
};
