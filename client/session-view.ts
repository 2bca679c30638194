import type { SessionFacts, TurnFact } from "../contracts/session-status.ts";
import { pmStatus, sessionActivity, sessionAttention, sessionState } from "../contracts/session-status.ts";
import type { ApprovalRow, InputRow, SessionRow, TurnRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";

export interface SessionWithFacts {
  row: SessionRow;
  facts: SessionFacts;
  turns: TurnRow[];
  pending: InputRow[];
  approvals: ApprovalRow[];
}

/** Reads a session's facts. `hosts`: live ones by id, when the caller has them already. */
export async function loadFacts(store: Store, row: SessionRow, hosts?: Map<string, boolean>): Promise<SessionWithFacts> {
  const [turns, pending, approvals, alive] = await Promise.all([
    store.turns.list(row.sessionUlid),
    store.inputs.pending(row.sessionUlid),
    store.approvals.list({ sessionUlid: row.sessionUlid, state: "open", limit: 50 }),
    hosts ?? liveHosts(store),
  ]);
  const newest = turns.reduce<TurnRow | null>((best, turn) => (best === null || turn.n > best.n ? turn : best), null);
  // The input that the running turn works on is not waiting for one.
  const waiting = pending.filter((input) => newest === null || newest.state === "done" || input.inputId !== newest.inputId);
  const facts: SessionFacts = {
    createdAt: row.createdAt,
    startedAt: row.startedAt,
    closedAt: row.closedAt,
    closeReason: row.closeReason,
    failed: row.failed,
    workspace: row.workspace,
    lastSeq: row.lastSeq,
    lastActivityAt: row.lastActivityAt,
    turn: newest && turnFact(newest),
    hostAlive: alive.get(row.hostId) ?? null,
    approvals: approvals
      .toSorted((a, b) => (a.askedAt < b.askedAt ? -1 : 1))
      .map(({ approvalId, kind, title, askedAt, options }) => ({ approvalId, kind, title, askedAt, options })),
    pendingInputs: waiting.map(({ inputId, createdAt }) => ({ inputId, createdAt })),
  };
  return { row, facts, turns, pending: waiting, approvals };
}

export async function liveHosts(store: Store): Promise<Map<string, boolean>> {
  return new Map((await store.hosts.all()).map((host) => [host.hostId, host.alive]));
}

function turnFact(turn: TurnRow): TurnFact {
  return {
    turnId: turn.turnId,
    state: turn.state,
    startedAt: turn.startedAt,
    endedAt: turn.endedAt,
    outcome: turn.result?.outcome ?? null,
    failure: turn.result?.failure ?? null,
  };
}

/** A session as lists show it. */
export function summaryView({ row, facts, turns }: SessionWithFacts): Record<string, unknown> {
  const { state } = sessionState(facts);
  const last = lastDone(turns);
  return {
    sessionUlid: row.sessionUlid,
    name: row.name,
    workflowId: row.workflowId,
    contextRef: row.contextRef,
    taskKey: row.taskKey,
    projectKey: row.projectKey,
    role: row.role,
    status: pmStatus(state),
    state,
    activity: sessionActivity(facts),
    provider: row.provider,
    agentHandle: row.agentHandle,
    launcherConfigKey: row.launcherConfigKey,
    launchReason: row.launchReason,
    actor: row.actor,
    parentUlid: row.parentUlid,
    rootUlid: row.rootUlid,
    chainId: row.chainId,
    worktreePath: row.worktreePath,
    branchName: row.branchName,
    labels: row.labels,
    lastTurn: last && turnView(last, false),
    attention: sessionAttention(row.sessionUlid, facts).map(({ kind, since, say }) => ({ kind, since, say })),
    createdAt: row.createdAt,
    lastActivityAt: row.lastActivityAt,
    lastSeq: row.lastSeq,
  };
}

/** A session as `get` shows it. */
export function fullView(found: SessionWithFacts, extra: { namespace: string; turnId?: string }): Record<string, unknown> {
  const { row, facts, turns, pending, approvals } = found;
  const { state, since, reason } = sessionState(facts);
  const current = turns.find((turn) => turn.state !== "done") ?? null;
  const last = (extra.turnId === undefined ? null : turns.find((turn) => turn.turnId === extra.turnId)) ?? lastDone(turns);
  const resumable = state !== "failed" || row.workspace === "ready";
  const stored = row.args as { effective?: { model?: string; limits?: object } };
  return {
    ...summaryView(found),
    clientRequestId: row.clientRequestId,
    principal: row.principal,
    providerSessionId: row.providerSessionId,
    model: stored.effective?.model ?? null,
    statusReason: reason,
    statusSince: since,
    turns: { total: turns.length, completed: turns.filter((turn) => turn.state === "done").length },
    currentTurn: current && turnView(current, true),
    lastTurn: last && turnView(last, true),
    queue: pending.map(({ inputId, delivery, state: inputState, source, createdAt }) => ({ inputId, delivery, state: inputState, source, createdAt })),
    waits: approvals.map(approvalView),
    attention: sessionAttention(row.sessionUlid, facts),
    usage: totalUsage(turns),
    limits: stored.effective?.limits ?? {},
    resumable: { can: resumable, how: row.providerSessionId ? "native" : "fresh", reason: resumable ? null : reason },
    candidate: row.candidate,
    workspace: row.workspace,
    host: row.hostId,
    baseRef: row.baseRef,
    headAtStart: row.headAtStart,
    generation: row.generation,
    temporal: { namespace: extra.namespace, workflowId: row.workflowId },
  };
}

function lastDone(turns: TurnRow[]): TurnRow | null {
  return turns.reduce<TurnRow | null>((best, turn) => (turn.state === "done" && (best === null || turn.n > best.n) ? turn : best), null);
}

/** A turn; its text (at most 4,000 characters) only `withText`. */
export function turnView(turn: TurnRow, withText: boolean): Record<string, unknown> {
  return {
    turnId: turn.turnId,
    n: turn.n,
    state: turn.state,
    attempt: turn.attempt,
    startedAt: turn.startedAt,
    endedAt: turn.endedAt,
    ...(turn.result ? { outcome: turn.result.outcome, usage: turn.result.usage } : {}),
    ...(turn.result?.failure ? { failure: turn.result.failure } : {}),
    ...(withText && turn.result?.candidate ? { candidate: turn.result.candidate } : {}),
    ...(withText && turn.finalMessage !== null ? { finalMessage: turn.finalMessage.slice(0, 4_000) } : {}),
  };
}

export function approvalView(row: ApprovalRow): Record<string, unknown> {
  const { approvalId, sessionUlid, chainId, turnId, kind, title, detail, options, askedAt, state } = row;
  const answer =
    row.decision === null ? {} : { answer: { decision: row.decision, by: row.answeredBy, actor: row.actor, at: row.answeredAt, reason: row.reason } };
  return { approvalId, sessionUlid, chainId, turnId, kind, title, detail, options, askedAt, state, onDeadline: "wait", ...answer };
}

function totalUsage(turns: TurnRow[]): Record<string, number> {
  const total = { inputTokens: 0, outputTokens: 0, cachedTokens: 0, costMicros: 0 };
  for (const { result } of turns) {
    if (!result) continue;
    for (const name of Object.keys(total) as (keyof typeof total)[]) total[name] += result.usage[name];
  }
  return total;
}
