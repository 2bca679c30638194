import type { Candidate, Delivery, TurnFailure, TurnOutcome, Usage } from "./event.ts";

/** Workflow type names, Signals, Queries: an API of ours in Temporal; never rename. */
export const workflowTypes = { session: "session", chain: "chain" } as const;
export const signalNames = { input: "input", abort: "abort", close: "close", turnEnded: "turnEnded", answered: "answered" } as const;
export const queryNames = { state: "state" } as const;
export const updateNames = { submit: "submit" } as const;
/** Search attributes, all Keyword; registered by `npm start`, the tests and the compose file. */
export const searchAttributes = ["BatonSession", "BatonTask", "BatonRole", "BatonState", "BatonChain"] as const;

/** Queue of the engine worker and of one host. `instance` is BATON_INSTANCE. */
export const engineQueue = (instance: string): string => `${instance}.engine`;
export const hostQueue = (instance: string, hostId: string): string => `${instance}.host.${hostId}`;

/** From a door: `{inputId}`. From an operator's own Signal: `{prompt}`. Anything else is logged and dropped. */
export type InputSignal = { inputId: string; delivery?: Delivery } | { prompt: string; requestId?: string; delivery?: Delivery };
export interface AbortSignalBody {
  turnId?: string;
  reason?: string;
  /** inputs accepted before the abort fail as `aborted` */ dropQueue?: boolean;
  /** which ones: what came later is not dropped by a late or repeated abort. Absent: all that wait */ drop?: string[];
}
export interface CloseSignal {
  reason?: string;
  /** close only if nothing but these inputs is there: what came later is not to be closed with them */
  covers?: string[];
}

export interface SessionArgs {
  sessionUlid: string;
  generation: number;
  /** first input, already recorded by the door; absent: wait for one */
  inputId?: string;
  hostQueue: string;
  /** chain that owns the session; told of each turn's end by Signal `turnEnded` */
  chainWorkflowId?: string;
  summary: string;
  beatTimeoutMs: number;
  turnAttempts: number;
  /** `turn`: the host makes the workspace in the first turn. Absent, of sessions that began before this was so: by an activity of its own */
  workspaceIn?: "turn";
  /** Signals that come before the first workflow task are handled in the order of their arrival. Absent, of sessions that began before this was so: by their names */
  signals?: "inOrder";
  /** closes the session when nothing has happened in it for so long; absent: never */
  idleCloseMs?: number;
  /** what continue-as-new carries over */
  carried?: { queue: string[]; seen: string[]; workspaceReady: boolean; turns: number };
}

/** What a turn came to; the result of the `runTurn` activity. Small: never text. */
export interface TurnResult {
  turnId: string;
  outcome: TurnOutcome;
  failure?: TurnFailure;
  lastSeq: number;
  providerSessionId: string | null;
  usage: Usage;
  candidate?: Candidate;
  consumedInputIds: string[];
}

/** What a chain needs to know of a turn's result. */
export type TurnEnd = Pick<TurnResult, "turnId" | "outcome" | "candidate" | "failure">;

export interface TurnEnded {
  sessionUlid: string;
  turnId: string;
  outcome: TurnOutcome;
  candidate?: Candidate;
  failure?: TurnFailure;
  /** of an interrupted turn: the input that the session takes up now, if one waits */
  next?: string;
}

export interface RunTurnArgs {
  sessionUlid: string;
  generation: number;
  turnId: string;
  inputId: string;
  attempt: number;
}

export type ChainReason = "approved" | "rejected" | "exhausted" | "no_progress" | "needs_human" | "aborted" | "failed";

export interface ChainArgs {
  chainId: string;
  taskKey: string;
  executor: SessionArgs;
  reviewers: number;
  auditor: boolean;
  maxRounds: number;
  turnDeadlineSeconds: number;
  hostQueue: string;
  summary: string;
}

export interface VerdictView {
  decision: "approved" | "changes_requested" | "rejected";
  score: number;
  findings: number;
  blockers: number;
  tree: string;
}
export interface GateView {
  name: string;
  passed: boolean;
  why: string;
}

/** How a generation ends. */
export interface EndOfSession {
  sessionUlid: string;
  generation: number;
  state: "closed" | "failed";
  reason: string;
  /** inputs that were there when the close was asked for; a later one wakes the session in the same transaction. Absent: none does */
  waiting?: string[];
}

/** Effects of the session workflow on queue `engine`. Each is idempotent. */
export interface SessionActivities {
  /** Stores an operator's own prompt; `requestId` dedupes. Null: refused (said in a notice event). */
  recordOperatorInput(a: { sessionUlid: string; requestId: string; prompt: string; delivery: Delivery }): Promise<{ inputId: string } | null>;
  /** Marks inputs failed with a reason, with their events. How those of their turns stand that are over: one may have a result that nobody could tell of. Undefined: of an older engine. */
  failInputs(a: { sessionUlid: string; inputIds: string[]; reason: string }): Promise<TurnEnd[] | undefined>;
  /** Ends the generation if nothing runs, waits or is asked in it; false: something does. */
  closeIfIdle(a: { sessionUlid: string; generation: number; reason: string }): Promise<boolean>;
  /** Ends the generation: event, `closed_at`, and the host is told to end the runner. */
  endSession(a: EndOfSession): Promise<void>;
}

/** What a chain asks people before it ends. */
export interface ChainQuestion {
  chainId: string;
  /** once per chain */
  key: string;
  /** `rounds`: whether to add some; `gate`: whether to go on */
  kind: "gate" | "rounds";
  /** how the chain ends if nobody says otherwise */
  end: { reason: ChainReason; why: string };
  /** the turn that it is about */
  turn?: { sessionUlid: string; turnId: string };
}
export interface InputOrigin {
  from: "chain" | "people" | "agent";
  interrupts: boolean;
}
/** `budget`: the session asked, and goes on by itself. `maxRounds`: with all that was added. */
export interface ChainAnswer {
  decision: "allow" | "deny";
  by: string;
  budget: boolean;
  maxRounds: number;
}

/** Effects of the chain workflow on queue `engine`. Each is idempotent. */
export interface ChainActivities {
  /** The reviewer's or auditor's session row, made once per (chain, role, n). */
  openRoleSession(a: { chainId: string; role: "reviewer" | "auditor"; n: number }): Promise<{ workflowId: string; args: SessionArgs }>;
  /** Composes and stores the next prompt for a role from the chain's rows; one per (chain, key). */
  recordChainInput(a: {
    chainId: string;
    sessionUlid: string;
    key: string;
    kind: "review" | "findings" | "audit" | "repair" | "again";
    round: number;
    candidate?: Candidate;
    /** `again`: the input whose turn was stopped, and the chain's own that it came from (its candidate is checked out) */
    of?: { stopped: string; asked: string };
  }): Promise<{ inputId: string }>;
  /** The verdict that the turn's final message holds, stored once; null: none of the right shape. */
  recordVerdict(a: {
    chainId: string;
    sessionUlid: string;
    turnId: string;
    role: "reviewer" | "auditor";
    round: number;
    candidate: Candidate;
  }): Promise<VerdictView | null>;
  /** All gates of the chain on one candidate tree. */
  evaluateGates(a: { chainId: string; round: number; tree: string; stage: "review" | "final" }): Promise<GateView[]>;
  startRound(a: { chainId: string; round: number; candidate?: Candidate }): Promise<void>;
  /** Puts a question to people. Error CHAIN_ENDED: nobody asks for a chain that is over. */
  askPeople(a: ChainQuestion): Promise<{ approvalId: string }>;
  /** Who sent an input: people, an agent (or Baton for one), or the chain itself (or what people's raising of a limit sent in its place). */
  readOrigin(a: { inputId: string }): Promise<InputOrigin>;
  /** What was answered; null: nothing yet. `withdraw`: and nothing is to be answered any more. */
  readAnswer(a: { approvalId: string; withdraw?: boolean }): Promise<ChainAnswer | null>;
  finishChain(a: { chainId: string; reason: ChainReason; why: string }): Promise<void>;
}

/** Effects on a host's own queue. */
export interface HostActivities {
  /** Makes or adopts the worktree named in the session's row. */
  prepareWorkspace(a: { sessionUlid: string }): Promise<{ path: string; head: string }>;
  /** Completed by the keeper with the task token, never by the function itself. */
  runTurn(a: RunTurnArgs): Promise<TurnResult>;
  /** Captures the executor's tree again: has it changed since `tree`? `busy`: something runs or waits in the session that may change it yet. `candidate`: what a turn of the session has made of it since. */
  verifyCandidate(a: { sessionUlid: string; tree: string }): Promise<{ unchanged: boolean; tree: string; busy?: boolean; candidate?: Candidate }>;
}
