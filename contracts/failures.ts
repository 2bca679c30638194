/** Codes that every door answers with (see the README's glossary). */
export type ErrorCode =
  | "INVALID_ARGUMENT"
  | "UNKNOWN_ACTION"
  | "NOT_FOUND"
  | "CONFLICT_STATE"
  | "IDEMPOTENCY_MISMATCH"
  | "PERMISSION_DENIED"
  | "QUEUE_FULL"
  | "LIMIT_EXCEEDED"
  | "UNSUPPORTED_BY_PROVIDER"
  | "PROVIDER_UNAVAILABLE"
  | "RATE_LIMITED"
  | "UNAVAILABLE"
  | "INTERNAL";

export interface ErrorDetail {
  field?: string;
  allowed?: unknown;
  /** of a limit: how much of `allowed` is used */
  used?: number;
  currentState?: string;
  /** `unknown` means: repeat the call with the same key. */
  applied?: "no" | "unknown";
  retryable?: boolean;
  retryAfterMs?: number;
  example?: unknown;
  next?: { tool: string; args: Record<string, unknown>; why: string }[];
}

/** An error with a code and a sentence that says what to do. */
export class BatonError extends Error {
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;
  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message);
    this.name = "BatonError";
    this.code = code;
    this.detail = { applied: "no", retryable: code === "UNAVAILABLE" || code === "RATE_LIMITED", ...detail };
  }
}

/** `ApplicationFailure.type` of activities; the workflow decides by it. */
export const failureTypes = {
  /** The session's rows are gone: the workflow ends. */
  sessionGone: "baton.session_gone",
  /** The workspace cannot be made: retrying does not help. */
  workspaceFailed: "baton.workspace_failed",
  /** The attempt is lost (runner died, shutdown); the workflow tries again. */
  attemptLost: "baton.attempt_lost",
  /** Fenced: another claim owns the turn. */
  fenced: "baton.fenced",
} as const;
