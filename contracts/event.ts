/**
 * The project's vocabulary: every durable fact about a session, dotted and in the past tense.
 * A type's doc line says when it is recorded. What a driver does not understand becomes `line.unparsed`.
 */
export interface EventData {
  /** The session's row was created by a door (first event, seq 1). */
  "session.created": { role: string; provider: string; agentHandle: string; contextRef: string; branchName: string };
  /** The workspace exists and is at `head`. */
  "session.workspace_ready": { path: string; branch: string | null; head: string };
  /** The workspace could not be made; the session cannot run. */
  "session.workspace_failed": { message: string };
  /** The agent's own conversation exists; `resumed` tells whether it is an old one, `resumable` whether another process could go on with it. */
  "session.agent_ready": { providerSessionId: string; resumed: boolean; resumable?: boolean; agent?: { name: string; version: string } };
  /** Nobody works in the session any more. */
  "session.closed": { reason: string };
  /** The session cannot go on. */
  "session.failed": { reason: string; message: string };
  /** A closed session goes on as the next generation. */
  "session.woken": { generation: number };
  /** A door or an operator's signal stored an input. */
  "input.recorded": { inputId: string; delivery: Delivery; source: string; bytes: number; configuration?: Record<string, unknown> };
  /** The workflow has the input in its queue. */
  "input.accepted": { inputId: string };
  /** The agent has the input (the runner's receipt). */
  "input.delivered": { inputId: string };
  /** The input's turn ended. */
  "input.consumed": { inputId: string };
  /** The input will not be delivered. */
  "input.failed": { inputId: string; reason: string };
  /** Nobody can tell whether the agent got the input; it is not sent again. */
  "input.ambiguous": { inputId: string };
  /** A keeper claimed the turn; it waits for a slot. */
  "turn.queued": { inputId: string; n: number };
  /** The turn has a slot and an agent, and the prompt is about to be sent. */
  "turn.started": { runnerId: string; pid: number; candidate?: string };
  /** The attempt ended without a result; another may follow. */
  "turn.attempt_lost": { reason: string };
  /** A limit was reached while the agent worked; the turn is being interrupted. */
  "turn.limit_reached": { limit: string; used: number; allowed: number; turnOnly?: true };
  /** The turn ended; its result is stored. */
  "turn.completed": { outcome: TurnOutcome; stopReason?: string; failure?: TurnFailure; usage: Usage; candidate?: Candidate; finalMessage?: string };
  "message.completed": { role: "agent" | "user"; text: string };
  "thought.completed": { text: string };
  "tool.started": { name: string; title: string; kind: string; input?: unknown; locations?: string[] };
  "tool.completed": { status: "completed" | "failed" | "interrupted" | "denied"; output?: string };
  "command.started": { command: string; cwd?: string };
  "command.completed": { status: "completed" | "failed" | "interrupted" | "denied"; exitCode?: number; output?: string };
  "file.changed": { path: string; change: "added" | "modified" | "deleted" | "unknown"; diff?: string };
  "plan.updated": { entries: { text: string; status: string }[] };
  "usage.reported": Partial<Usage>;
  "approval.requested": {
    approvalId: string;
    kind: ApprovalKind;
    title: string;
    detail?: unknown;
    options: { id: string; label: string; kind?: string; add?: Record<string, number> }[];
    requestKey: string;
  };
  "approval.resolved": { approvalId: string; decision: string; by: string; reason?: string };
  "approval.expired": { approvalId: string; reason: string };
  "retry.scheduled": { reason: string; delayMs: number };
  "notice.raised": { message: string };
  "error.raised": { class: string; message: string; retryable: boolean };
  /** The agent process ended. */
  "process.exited": { pid: number; code: number | null; signal: string | null; stderrTail: string; expected: boolean };
  /** A line of the agent's, or a row, that could not be understood. */
  "line.unparsed": { text: string; reason: string };
  /** The exact tree that the turn left. */
  "candidate.captured": Candidate & { stable: boolean };
  /** A reviewer's worktree was moved to the candidate. */
  "candidate.checked_out": { commit: string; tree: string };
  "chain.started": { chainId: string; taskKey: string };
  "chain.round_started": { chainId: string; round: number };
  "chain.ended": { chainId: string; reason: string };
  "verdict.recorded": { verdictId: string; decision: string; score: number; summary: string; tree: string; findings: number };
  "gate.passed": { name: string; why: string };
  "gate.failed": { name: string; why: string };
}

export type EventType = keyof EventData;
export type Delivery = "queue" | "steer" | "interrupt";
export type ApprovalKind = "permission" | "question" | "plan" | "gate" | "rounds" | "budget" | "outcome_unknown";
export type TurnOutcome = "completed" | "interrupted" | "failed" | "limit" | "unknown";

/** Tokens are counts, cost is millionths of a US dollar. */
export interface Usage {
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  costMicros: number;
}
export const noUsage: Usage = { inputTokens: 0, outputTokens: 0, cachedTokens: 0, costMicros: 0 };

/** A git tree that a turn produced, as a commit on `ref`. */
export interface Candidate {
  commit: string;
  tree: string;
  ref: string;
  base: string;
  diffStat: string;
  files: number;
}

export interface TurnFailure {
  class: string;
  message: string;
  retryable: boolean;
}

/** An event before the store gave it its `seq`. `at` is ISO 8601 UTC with milliseconds. */
export interface NewEvent<T extends EventType = EventType> {
  type: T;
  data: EventData[T];
  at?: string;
  turnId?: string;
  attempt?: number;
  itemId?: string;
  parentItemId?: string;
  synthetic?: boolean;
  rawRef?: { file: string; offset: number; bytes: number };
}

/** A durable fact: `(sessionUlid, seq)` is gapless from 1. */
export interface BatonEvent extends NewEvent {
  seq: number;
  at: string;
  sessionUlid: string;
}

/** A piece of streaming text; `seq` is its own cursor, not the events'. */
export interface Delta {
  seq: number;
  turnId: string;
  itemId: string;
  kind: "message" | "thought" | "output";
  text: string;
}
