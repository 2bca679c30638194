import { BatonError } from "../contracts/failures.ts";
import type { FactsRow, SessionRow } from "../store/rows.ts";

/** What is left of a purged session. `purging`: its files and records are still being deleted. */
export function tombstone(row: SessionRow | FactsRow): Record<string, unknown> {
  const { purge } = row;
  return {
    sessionUlid: row.sessionUlid,
    name: row.name,
    workflowId: row.workflowId,
    clientRequestId: row.clientRequestId,
    contextRef: row.contextRef,
    taskKey: row.taskKey,
    role: row.role,
    agentHandle: row.agentHandle,
    status: row.failed ? "FAILED" : "CLOSED",
    state: row.failed ? "failed" : "closed",
    createdAt: row.createdAt,
    closedAt: row.closedAt,
    purged: true,
    purgedAt: row.purgedAt ?? purge?.at ?? null,
    ...(row.purgedAt === null ? { purging: true } : {}),
    ...(purge ? { purge } : {}),
  };
}

/** The refusal of everything but `get` and `purge`. */
export function wasPurged(row: SessionRow): BatonError {
  return new BatonError("NOT_FOUND", `Session ${row.name} was purged: only what get shows of it is left.`, {
    field: "sessionUlid",
    currentState: "purged",
    next: [{ tool: "pm_session", args: { action: "get", sessionUlid: row.sessionUlid }, why: "what was deleted, and when" }],
  });
}
