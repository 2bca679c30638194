import type { ApprovalKind, TurnFailure, TurnOutcome } from "./event.ts";

/** What rows say about a session; every status is a pure function of these facts and of nothing else (no clock). */
export interface SessionFacts {
  createdAt: string;
  startedAt: string | null;
  /** when its workflow was told to close */
  closingAt: string | null;
  closedAt: string | null;
  closeReason: string | null;
  failed: boolean;
  workspace: "pending" | "ready" | "failed";
  lastSeq: number;
  lastActivityAt: string;
  /** the newest turn */
  turn: TurnFact | null;
  /** `seq` of its end */
  endedSeq?: number | null;
  /** open approvals, oldest first */
  approvals: ApprovalFact[];
  /** inputs that no turn has taken to its end */
  pendingInputs: { inputId: string; createdAt: string }[];
  /** whether the session's host holds a valid lease; null: not known */
  hostAlive: boolean | null;
}
export interface TurnFact {
  turnId: string;
  state: "queued" | "running" | "done";
  startedAt: string | null;
  endedAt: string | null;
  outcome: TurnOutcome | null;
  failure: TurnFailure | null;
}
export interface ApprovalFact {
  approvalId: string;
  kind: ApprovalKind;
  title: string;
  askedAt: string;
  /** `add`: what an answer with it has to send along */
  options: { id: string; label: string; add?: Record<string, number> }[];
  /** of the event that asked */
  seq?: number | null;
  /** its chain asks, in the log of the executor: that one may run, or be idle, all the same */
  ofChain?: boolean;
}

export type SessionState = "starting" | "running" | "idle" | "waiting" | "closing" | "closed" | "failed";
export type SessionStatus = "RUNNING" | "IDLE" | "CLOSED" | "FAILED";
export type SessionActivity = "active" | "ready" | "idle" | "waiting_input" | "blocked" | "exited" | null;
/** `since`: ISO time of the fact that caused it. `reason`: one word or a short sentence. */
export interface StateView {
  state: SessionState;
  since: string;
  reason: string;
}
export interface Attention {
  kind:
    | "approval"
    | "question"
    | "plan"
    | "gate"
    | "rounds"
    | "budget"
    | "outcome_unknown"
    | "failed"
    | "auth"
    | "rate_limited"
    | "stalled"
    | "host_lost"
    | "workspace";
  since: string;
  /** of the event that caused it, or the newest */
  seq: number;
  say: string;
  approvalId?: string;
  next: { tool: string; args: Record<string, unknown>; why: string }[];
}

/** Baton's own word for where a session is. */
export function sessionState(facts: SessionFacts): StateView {
  if (facts.closedAt !== null) return { state: facts.failed ? "failed" : "closed", since: facts.closedAt, reason: facts.closeReason ?? "closed" };
  if (facts.failed) return { state: "failed", since: facts.lastActivityAt, reason: facts.closeReason ?? "failed" };
  if (facts.workspace === "failed") return { state: "failed", since: facts.lastActivityAt, reason: "workspace" };
  if (facts.closingAt !== null) return { state: "closing", since: facts.closingAt, reason: "close" };
  const asked = ownApprovals(facts)[0];
  if (asked) return { state: "waiting", since: asked.askedAt, reason: asked.kind };
  if (facts.turn && facts.turn.state !== "done") return openTurn(facts, facts.turn);
  const next = facts.pendingInputs[0];
  if (facts.startedAt === null) return { state: "starting", since: facts.createdAt, reason: "not started yet" };
  if (next) return { state: facts.turn ? "running" : "starting", since: next.createdAt, reason: facts.workspace === "pending" ? "workspace" : "input queued" };
  return { state: "idle", since: facts.turn?.endedAt ?? facts.startedAt, reason: facts.turn ? `turn ${facts.turn.outcome ?? "ended"}` : "no turn yet" };
}

/** What the session itself waits for. */
const ownApprovals = (facts: SessionFacts): ApprovalFact[] => facts.approvals.filter((approval) => !approval.ofChain);

function openTurn(facts: SessionFacts, turn: TurnFact): StateView {
  const since = turn.startedAt ?? facts.lastActivityAt;
  if (facts.hostAlive === false) return { state: "running", since, reason: "waits for its host" };
  return { state: "running", since, reason: turn.state === "queued" ? "waits for a turn slot" : "turn" };
}

/** The pm_session word: between turns IDLE; starting, waiting and closing are RUNNING. */
export function pmStatus(state: SessionState): SessionStatus {
  if (state === "closed") return "CLOSED";
  if (state === "failed") return "FAILED";
  return state === "idle" ? "IDLE" : "RUNNING";
}

/** What an orchestrator's board shows; null while nothing can be said. */
export function sessionActivity(facts: SessionFacts): SessionActivity {
  const { state } = sessionState(facts);
  if (state === "closed" || state === "failed") return "exited";
  if (state === "waiting") return ownApprovals(facts).some((a) => a.kind === "question" || a.kind === "plan") ? "waiting_input" : "blocked";
  if (state === "running") return facts.turn?.state === "queued" ? "ready" : "active";
  if (state === "closing") return facts.turn && facts.turn.state !== "done" ? "active" : "idle";
  if (state === "idle") return facts.turn ? "idle" : "ready";
  return null;
}

/** What waits for somebody, with calls that can be sent as they are. */
export function sessionAttention(sessionUlid: string, facts: SessionFacts): Attention[] {
  const found: Attention[] = facts.closedAt === null ? facts.approvals.map((approval) => approvalAttention(approval, facts.lastSeq)) : [];
  const { state, since } = sessionState(facts);
  const get = { tool: "pm_session", args: { action: "get", sessionUlid }, why: "what happened" };
  const turn = facts.turn;
  const seq = facts.endedSeq ?? facts.lastSeq;
  if (facts.workspace === "failed")
    found.push({ kind: "workspace", since: facts.lastActivityAt, seq: facts.lastSeq, say: "The workspace could not be made.", next: [get] });
  else if (state === "failed")
    found.push({ kind: "failed", since, seq: facts.lastSeq, say: `The session failed: ${facts.closeReason ?? "see its events"}.`, next: [get] });
  else if (state === "idle" && turn?.outcome === "unknown")
    found.push({ kind: "outcome_unknown", since, seq, say: "Nobody can tell whether the agent got the last prompt.", next: [get, again(sessionUlid)] });
  else if (state === "idle" && turn?.outcome === "failed") found.push(failedTurn(turn.failure, { since, seq, next: [get, again(sessionUlid)] }));
  if (turn && turn.state !== "done" && facts.hostAlive === false)
    found.push({
      kind: "host_lost",
      since: facts.lastActivityAt,
      seq: facts.lastSeq,
      say: "The turn waits for its host to come back.",
      next: [{ tool: "pm_health", args: {}, why: "which hosts are up" }],
    });
  return found;
}

/** A turn that failed for a reason that somebody can do something about has a kind of its own. */
function failedTurn(failure: TurnFailure | null, about: Pick<Attention, "since" | "seq" | "next">): Attention {
  const say = failure?.message ?? "The last turn failed.";
  if (failure?.class === "auth")
    return { ...about, kind: "auth", say, next: [{ tool: "pm_provider", args: { action: "list_providers" }, why: "how this agent logs in" }, ...about.next] };
  if (failure?.class === "rate_limit") return { ...about, kind: "rate_limited", say };
  return { ...about, kind: failure?.class === "stalled" ? "stalled" : "failed", say };
}

function again(sessionUlid: string): Attention["next"][number] {
  return { tool: "pm_session", args: { action: "input", sessionUlid, prompt: "Continue." }, why: "let the agent go on" };
}

function approvalAttention(approval: ApprovalFact, lastSeq: number): Attention {
  const kind = approval.kind === "permission" ? "approval" : approval.kind;
  const next = readyAnswers(approval);
  return {
    kind,
    since: approval.askedAt,
    seq: approval.seq ?? lastSeq,
    say: approval.title.slice(0, 500).toWellFormed(),
    approvalId: approval.approvalId,
    next,
  };
}

/** The answers to an approval that can be sent as they are: to a permission yes and no, else each of its options. */
export function readyAnswers({ approvalId, kind, options }: Pick<ApprovalFact, "approvalId" | "kind" | "options">): Attention["next"] {
  const offered: ApprovalFact["options"] = kind === "permission" ? ["allow", "deny"].map((id) => ({ id, label: id })) : options;
  return offered.map(({ id, add }) => ({
    tool: "pm_session",
    args: { action: "respond", approvalId, decision: id, ...(add ? { add } : {}) },
    why: id,
  }));
}

/** The facts that every status is made of, each by itself. */
export function sessionFacets(facts: SessionFacts): Record<string, unknown> {
  return {
    provision: facts.workspace,
    started: facts.startedAt !== null,
    host: facts.hostAlive === null ? "unknown" : facts.hostAlive ? "alive" : "lost",
    turn: facts.turn?.state ?? "none",
    outcome: facts.turn?.outcome ?? null,
    waits: facts.approvals.map((approval) => approval.kind),
    queued: facts.pendingInputs.length,
    closed: facts.closedAt !== null,
  };
}
