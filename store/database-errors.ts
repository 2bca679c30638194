import { BatonError } from "../contracts/failures.ts";

const codeOf = (error: unknown): string => String((error as { code?: unknown } | null)?.code ?? "");

/** Deadlock, lock time-out, cancelled statement, serialization: the same transaction may succeed when tried again. */
export function isContention(error: unknown): boolean {
  return ["40P01", "55P03", "57014", "40001"].includes(codeOf(error));
}

/** The connection is gone or was never made; whether a running statement was applied is unknown. */
export function isConnectionTrouble(error: unknown): boolean {
  const code = codeOf(error);
  if (/^(08|57P0|53)/.test(code) || code === "25P03" || code === "25006") return true;
  if (/^(ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN)/.test(code)) return true;
  return (
    code === "" &&
    error instanceof Error &&
    /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client was closed|Client has encountered a connection error|Cannot use a pool after)/.test(
      error.message,
    )
  );
}

/** What callers of the store see: our own errors as they are, lost connections and endless contention as UNAVAILABLE. */
export function translated(error: unknown, applied: "no" | "unknown"): unknown {
  if (error instanceof BatonError) return error;
  if (isConnectionTrouble(error) || isContention(error)) {
    return new BatonError("UNAVAILABLE", `The database cannot be reached: ${(error as Error).message}. Repeat the call with the same key.`, {
      applied,
      retryAfterMs: 1_000,
    });
  }
  return error;
}
