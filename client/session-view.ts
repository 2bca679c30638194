import type { Attention, SessionFacts, TurnFact } from "../contracts/session-status.ts";
import { pmStatus, sessionActivity, sessionAttention, sessionFacets, sessionState } from "../contracts/session-status.ts";
import type { FactsRow, InputRow, TurnRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { approvalView } from "./approval-view.ts";
import { sizeOf } from "./bounded.ts";

/** A session with its facts. `pending`: inputs that wait for a turn. */
export interface SessionWithFacts {
  row: FactsRow;
  facts: SessionFacts;
  pending: InputRow[];
}

/** Reads a session's facts. Error: when it has gone meanwhile. */
export async function loadFacts(store: Store, row: { sessionUlid: string }): Promise<SessionWithFacts> {
  const found = await store.facts.get(row.sessionUlid);
  if (!found) throw new Error(`session ${row.sessionUlid} has no row any more`);
  return withFacts(found);
}

/** The facts of a row, as the pure functions take them. */
export function withFacts(row: FactsRow): SessionWithFacts {
  const { newest } = row;
  // The input that the running turn works on is not waiting for one.
  const pending = row.pending.filter((input) => newest === null || newest.state === "done" || input.inputId !== newest.inputId);
  const facts: SessionFacts = {
    createdAt: row.createdAt,
    startedAt: row.startedAt,
    closingAt: row.closingAt,
    closedAt: row.closedAt,
    closeReason: row.closeReason,
    failed: row.failed,
    workspace: row.workspace,
    lastSeq: row.lastSeq,
    lastActivityAt: row.lastActivityAt,
    turn: newest && turnFact(newest),
    endedSeq: row.endedSeq,
    hostAlive: row.hostAlive,
    approvals: row.approvals
      .toSorted((a, b) => a.askedAt.localeCompare(b.askedAt) || (a.seq ?? 0) - (b.seq ?? 0))
      .map(({ approvalId, kind, title, askedAt, options, seq, chainId }) => ({ approvalId, kind, title, askedAt, options, seq, ofChain: chainId !== null })),
    pendingInputs: pending.map(({ inputId, createdAt }) => ({ inputId, createdAt })),
  };
  return { row, facts, pending };
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

/** What every view of a session begins with. */
const names = ({ sessionUlid, name, workflowId, contextRef, taskKey }: FactsRow) => ({ sessionUlid, name, workflowId, contextRef, taskKey });

/** A session as launches and restarts answer it. */
export function launchedView({ row, facts }: SessionWithFacts): Record<string, unknown> {
  const { state } = sessionState(facts);
  return {
    ...names(row),
    providerType: row.provider,
    targetAgentHandle: row.agentHandle,
    worktreePath: row.worktreePath,
    branchName: row.branchName,
    workspace: row.workspace,
    status: pmStatus(state),
    state,
  };
}

/** A session as `list` and `get` begin. */
function commonView({ row, facts }: SessionWithFacts): Record<string, unknown> {
  const { state } = sessionState(facts);
  return {
    ...names(row),
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
    lastTurn: null,
    attention: [],
    createdAt: row.createdAt,
    lastActivityAt: row.lastActivityAt,
    lastSeq: row.lastSeq,
  };
}

/** Largest row of a list, bytes. */
const rowBytes = 900;

/** A session as lists show it: at most 900 bytes, so that 200 fit. What is too long is cut, the least important first; `get` has it whole. */
export function summaryView(found: SessionWithFacts): Record<string, unknown> {
  const { row, facts } = found;
  const last = row.lastDone;
  const attention = sessionAttention(row.sessionUlid, facts);
  const view: Record<string, unknown> = {
    ...commonView(found),
    lastTurn: last && { turnId: last.turnId, n: last.n, outcome: last.result?.outcome, endedAt: last.endedAt, costMicros: last.result?.usage.costMicros ?? 0 },
    attention: attention.slice(0, 3).map((one) => ({ ...briefly(one), say: cut(one.say, 100) })),
  };
  const smaller: (() => void)[] = [
    () => (view["attention"] = attention.slice(0, 3).map(briefly)),
    () => (view["labels"] = Object.fromEntries(Object.entries(row.labels).slice(0, 2).map(([name, value]) => [cut(name, 20), cut(value, 20)]))), // prettier-ignore
    () => (view["lastTurn"] = last && { turnId: last.turnId, n: last.n, outcome: last.result?.outcome }),
    () => (view["attention"] = attention.slice(0, 1).map(briefly)),
    ...[60, 36, 20, 12].map((length) => () => {
      for (const name of [
        "launchReason",
        "actor",
        "workflowId",
        "agentHandle",
        "launcherConfigKey",
        "branchName",
        "contextRef",
        "name",
        "projectKey",
        "taskKey",
        "worktreePath",
      ])
        if (typeof view[name] === "string" && sizeOf(view) > rowBytes) view[name] = cut(view[name], name === "worktreePath" ? length * 2 : length);
    }),
  ];
  for (const step of smaller) if (sizeOf(view) > rowBytes) step();
  return view;
}

const cut = (text: string, length: number): string => (text.length <= length ? text : `${text.slice(0, length - 1).toWellFormed()}…`);

/** What waits, and by which id it is answered. */
const briefly = ({ kind, since, seq, approvalId }: Attention) => ({ kind, since, seq, ...(approvalId === undefined ? {} : { approvalId }) });

/** A session as `get` shows it. `turn`: an older one that was asked for. */
export function fullView(found: SessionWithFacts, extra: { namespace: string; turn?: TurnRow | null }): Record<string, unknown> {
  const { row, facts, pending } = found;
  const { since, reason } = sessionState(facts);
  const current = row.newest && row.newest.state !== "done" ? row.newest : null;
  const last = extra.turn ?? row.lastDone;
  const { usage } = row.turns;
  return {
    ...commonView(found),
    clientRequestId: row.clientRequestId,
    principal: row.principal,
    providerSessionId: row.providerSessionId,
    model: row.model,
    statusReason: reason,
    statusSince: since,
    facets: sessionFacets(facts),
    turns: { total: row.turns.total, completed: row.turns.completed },
    currentTurn: current && turnView(current, true),
    // The newest turn's end says its final message whole.
    lastTurn: last && turnView(last, true, last === row.lastDone && row.endedSeq !== null ? `events/${row.endedSeq - 1}` : "transcript"),
    queue: pending.map(({ inputId, delivery, state, source, createdAt, configuration }) => ({
      inputId,
      delivery,
      state,
      source,
      createdAt,
      ...(configuration ? { configuration } : {}),
    })),
    // Together about 16 KB: the answer has other things to say, too.
    waits: row.approvals.map((one) => approvalView(one, Math.max(1_000, Math.min(4_000, Math.floor(16_000 / row.approvals.length))))),
    attention: sessionAttention(row.sessionUlid, facts),
    usage: { ...usage, costSource: usage.costMicros > 0 ? "reported" : "none" },
    limits: { ...row.limits, used: usedOf(row) },
    resumable: resumable(found),
    summary: row.lastDone?.finalMessage ? cut(row.lastDone.finalMessage.trim().split(/\n\s*\n/)[0] ?? "", 300) : null,
    candidate: row.candidate,
    workspace: row.workspace,
    host: row.hostId,
    baseRef: row.baseRef,
    headAtStart: row.headAtStart,
    generation: row.generation,
    ...(row.restartedAt ? { restartedAt: row.restartedAt } : {}),
    cursors: { events: row.lastSeq, deltas: row.lastDelta },
    temporal: { namespace: extra.namespace, workflowId: row.workflowId, runId: row.runId },
  };
}

/** What of its limits a session has used. */
function usedOf(row: FactsRow): Record<string, number> {
  const { usage, begun, agentMs } = row.turns;
  return { wallSeconds: Math.round(agentMs / 1_000), turns: begun, tokens: usage.inputTokens + usage.outputTokens, costMicros: usage.costMicros };
}

/** Can it go on, and how: with the agent's own conversation, with the transcript as context, or with nothing to remember. */
export function resumable({ row, facts }: SessionWithFacts): { can: boolean; how: "native" | "transcript" | "fresh"; reason: string | null } {
  const how = row.providerSessionId !== null && row.resumes !== false ? "native" : row.turns.completed > 0 ? "transcript" : "fresh";
  const can = facts.workspace !== "failed";
  return { can, how, reason: can ? null : "its workspace could not be made" };
}

/** Longest final message in a view, characters. */
const longestMessage = 4_000;

/** A turn; its text only `withText`. `path`: behind `session://<ulid>/`, where a text that is cut here is whole. */
export function turnView(turn: TurnRow, withText: boolean, path = "transcript"): Record<string, unknown> {
  const said = (withText && turn.finalMessage) || "";
  const shown = said.slice(0, longestMessage).toWellFormed();
  const bytes = turn.finalMessageBytes ?? Buffer.byteLength(said);
  const whole = { truncated: true, bytes, resource: `session://${turn.sessionUlid}/${path}` };
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
    ...(said === "" ? {} : { finalMessage: shown }),
    ...(said !== "" && bytes > Buffer.byteLength(shown) ? { truncated: { finalMessage: whole } } : {}),
  };
}
