import type { ApprovalKind, Candidate, Delivery, TurnFailure, TurnOutcome, Usage } from "../contracts/event.ts";
import type { ChainReason, GateView } from "../contracts/messages.ts";

// What the tables hold, as the methods of the store give it. Times are ISO 8601 in UTC; ids are ULIDs.

export interface SessionRow {
  sessionUlid: string;
  name: string;
  workflowId: string;
  generation: number;
  principal: string;
  clientRequestId: string | null;
  contextRef: string;
  taskKey: string | null;
  projectKey: string | null;
  role: string;
  provider: string;
  agentHandle: string;
  actor: string;
  launcherConfigKey: string;
  presetRevision: number;
  presetSha256: string;
  hostId: string;
  repositoryPath: string;
  worktreePath: string;
  branchName: string | null;
  baseRef: string;
  headAtStart: string | null;
  workspace: "pending" | "ready" | "failed";
  systemPrompt: string;
  args: Record<string, unknown>;
  labels: Record<string, string>;
  launchReason: string;
  parentUlid: string | null;
  /** the session at the top of the tree, how far above it is, and whose the tree is; the database sets them */
  rootUlid: string;
  depth: number;
  owner: string;
  chainId: string | null;
  providerSessionId: string | null;
  createdAt: string;
  startedAt: string | null;
  closedAt: string | null;
  closeReason: string | null;
  failed: boolean;
  lastSeq: number;
  lastActivityAt: string;
  candidate: Candidate | null;
  /** asked to be purged: what was to go, who said so; its records go while this is set and `purgedAt` is not */
  purge: Purge | null;
  purgedAt: string | null;
}
export type NewSession = Omit<
  SessionRow,
  | "rootUlid"
  | "depth"
  | "owner"
  | "createdAt"
  | "startedAt"
  | "closedAt"
  | "closeReason"
  | "failed"
  | "lastSeq"
  | "lastActivityAt"
  | "candidate"
  | "workspace"
  | "headAtStart"
  | "providerSessionId"
  | "generation"
  | "purge"
  | "purgedAt"
>;

/** What is left of a purged session, beside its names and ids. Sizes in bytes. */
export interface Purge {
  at: string;
  by: string;
  actor: string;
  deleteFiles: boolean;
  counts: Record<string, number>;
  bytes: Record<string, number>;
  worktreePath: string;
  branchName: string | null;
  /** where what was in no commit of the base is kept */ snapshot?: string | null;
  /** with `deleteFiles: false` */ transcriptPath?: string;
  /** what was left where it is, and why */ kept?: string[];
}

/** What a host found of a session's files. Sizes in bytes. */
export interface Inspection {
  bytes: Record<string, number>;
  /** refs of Baton's own, and the branch, that would go */ refs: number;
  /** what is in no commit of the base, as `2 files, +10 -3`; null: nothing would be lost */ unmerged: string | null;
  /** why the files cannot be looked at or taken away now */ problem?: string;
}

/** A session with all that its status and views are computed from; without prompts and arguments. */
export interface FactsRow extends Omit<SessionRow, "systemPrompt" | "args" | "presetRevision" | "presetSha256"> {
  model: string | null;
  limits: Record<string, number> | null;
  lastDelta: number;
  rootUlid: string;
  /** Temporal's run of the current generation, as far as it is known */ runId: string | null;
  /** when the current generation began, if it is not the first */ restartedAt: string | null;
  /** when the current generation's workflow was told to close */ closingAt: string | null;
  hostAlive: boolean | null;
  /** `seq` of the newest turn's end */ endedSeq: number | null;
  /** can the agent go on with its conversation in another process; null: it did not say */ resumes: boolean | null;
  /** `begun`: an agent was given their prompt */
  turns: { total: number; completed: number; begun: number; agentMs: number; usage: Usage };
  /** without its final message */ newest: TurnRow | null;
  /** with at most 4,000 characters of it */ lastDone: TurnRow | null;
  /** inputs that no agent has taken to its end, with that of the open turn; oldest first, without prompts */
  pending: InputRow[];
  /** the open ones, newest first */ approvals: (ApprovalRow & { seq: number | null })[];
}

export interface InputRow {
  inputId: string;
  sessionUlid: string;
  generation: number;
  prompt: string;
  delivery: Delivery;
  source: string;
  requestId: string | null;
  state: "recorded" | "accepted" | "delivering" | "delivered" | "consumed" | "failed" | "ambiguous";
  reason: string | null;
  turnId: string | null;
  /** move the (detached) worktree to this commit before the turn */
  checkout: Candidate | null;
  /** what holds for this input's turn only */
  configuration: TurnConfiguration | null;
  createdAt: string;
  /** the generation whose workflow was told of it while it waited */
  signalledTo: number | null;
}
/** What `run` may change for one turn. */
export interface TurnConfiguration {
  model?: string;
  mode?: "deny-all" | "approve-reads" | "ask" | "approve-all";
  maxRuntimeSeconds?: number;
}

/** A turn's id is the id of the input that opened it. */
export interface TurnRow {
  sessionUlid: string;
  turnId: string;
  inputId: string;
  n: number;
  generation: number;
  attempt: number;
  state: "queued" | "running" | "done";
  promptSentAt: string | null;
  startedAt: string | null;
  endedAt: string | null;
  /** base64 of Temporal's task token; null after the result was reported */
  taskToken: string | null;
  reportedAt: string | null;
  result: StoredResult | null;
  finalMessage: string | null;
  /** of all of it, where only its beginning was read */
  finalMessageBytes?: number | null;
  /** the agent's own time, without what it waited for people; behind by some seconds while it runs */
  agentMs: number;
}
export interface StoredResult {
  outcome: TurnOutcome;
  failure?: TurnFailure;
  usage: Usage;
  providerSessionId: string | null;
  candidate?: Candidate;
  stable?: boolean;
}

export interface HeadRow {
  sessionUlid: string;
  lastSeq: number;
  epoch: number;
  owner: string | null;
  spoolId: string | null;
  spoolOffset: number;
  lastDelta: number;
}
/** Where a session's log and its deltas stood. A type, not an interface: answers keep it as JSON. */
export type Cursors = { events: number; deltas: number };
export interface RunnerRow {
  runnerId: string;
  sessionUlid: string;
  hostId: string;
  pid: number;
  bootId: string;
  startTicks: string;
  specHash: string;
  socketPath: string;
  spoolPath: string;
  createdAt: string;
  endedAt: string | null;
}
export interface ApprovalRow {
  approvalId: string;
  sessionUlid: string | null;
  chainId: string | null;
  turnId: string | null;
  kind: ApprovalKind;
  title: string;
  detail: unknown;
  options: { id: string; label: string; add?: Record<string, number> }[];
  requestKey: string;
  state: "open" | "answered" | "delivered" | "expired";
  decision: string | null;
  answeredBy: string | null;
  actor: string | null;
  reason: string | null;
  askedAt: string;
  answeredAt: string | null;
}
export interface TaskRow {
  taskKey: string;
  projectKey: string;
  title: string;
  description: string;
  acceptanceCriteria: string[];
  requirements: string[];
  baseRef: string | null;
  status: string;
  assigneeHandle: string | null;
  reviewerHandles: string[];
  metadata: Record<string, unknown>;
  createdAt: string;
  updatedAt: string;
}
export interface ProjectRow {
  projectKey: string;
  repositoryPath: string;
}
export interface ChainRow {
  chainId: string;
  workflowId: string;
  taskKey: string;
  principal: string;
  config: Record<string, unknown>;
  round: number;
  state: "open" | "ended";
  reason: ChainReason | null;
  why: string | null;
  executorUlid: string;
  candidate: Candidate | null;
  createdAt: string;
  startedAt: string | null;
  endedAt: string | null;
  gates: GateView[];
  /** to the configuration's, by answers of people */
  roundsAdded: number;
  runId: string | null;
}
export interface VerdictRow {
  verdictId: string;
  chainId: string;
  sessionUlid: string;
  turnId: string;
  role: "reviewer" | "auditor";
  round: number;
  decision: "approved" | "changes_requested" | "rejected";
  score: number;
  summary: string;
  findings: { severity: string; title: string; path?: string; line?: number }[];
  tree: string;
  createdAt: string;
}
export interface AuditEntry {
  principal: string;
  actor: string;
  action: string;
  target: string | null;
  detail?: Record<string, unknown>;
}
export interface HostInboxRow {
  id: number;
  hostId: string;
  /** `prepare`: a session was launched, its workspace will be wanted */
  kind: "poke" | "respond" | "close_runner" | "prepare" | "inspect" | "purge";
  sessionUlid: string;
  body: Record<string, unknown>;
  createdAt: string;
}
