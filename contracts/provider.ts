import type { TurnFailure, TurnOutcome, Usage } from "./event.ts";
import type { SpoolRecord } from "./runner-protocol.ts";

/** How to launch an agent: what the runner gets. Secrets are resolved by the host just before. */
export interface LaunchSpec {
  sessionUlid: string;
  runnerId: string;
  provider: string;
  /** argv of the agent process (ACP over stdio) */
  command: string[];
  cwd: string;
  env: Record<string, string>;
  model?: string;
  systemPrompt?: string;
  /** the agent's own conversation to go on with */
  resume?: string;
  /** what the finished turns of the conversation `resume` cost: agents go on counting it from there */
  costBefore?: number;
  /** `ask`: each permission becomes an approval; `approve-all`, `deny-all`: answered at once; `approve-reads`: reads are allowed, the rest denied */
  permissionMode: "ask" | "approve-all" | "approve-reads" | "deny-all";
  /** the cost has a limit: what the agent says of it during a turn is reported at once */
  reportCost?: true;
  /** kinds or names of the tools that may be used; what the agent asks for beyond them is denied. Absent: all */
  tools?: string[];
  /** paths outside the workspace, of what would be allowed */
  outsideWorkspace?: "ask" | "deny";
  /** before the mode, the first that matches */
  permissionRules?: { tool: string; pathGlob?: string; commandPrefix?: string; decision: "allow" | "deny" | "ask" }[];
  /** what was answered with `allow_always` in this session; a deny of mode or rules goes before it */
  remembered?: { grantKey: string; approvalId: string }[];
  /** how long a permission waits for people, and what becomes of it then; absent: for ever */
  answerWithin?: { seconds: number; onDeadline: "deny" | "wait" };
  stallMs: number;
  /** Baton's own door for the agent; absent: it gets none */
  gateway?: AgentGateway;
  /** values that must be written nowhere: the referenced environment and the gateway's token */
  secrets?: string[];
}

/** The gateway as an agent's MCP server: over HTTP where the agent can, else through `bridge`, the argv of a stdio server that speaks to `url`. */
export interface AgentGateway {
  url: string;
  token: string;
  bridge: string[];
}

export interface ProviderCapabilities {
  steer: "native" | "none";
  resume: "exact" | "none";
  approvals: boolean;
  deltas: boolean;
  cost: "reported" | "none";
}

/** What every agent behind the Agent Client Protocol can do. */
export const acpCapabilities: ProviderCapabilities = { steer: "none", resume: "exact", approvals: true, deltas: true, cost: "reported" };

export interface TurnEnd {
  outcome: TurnOutcome;
  stopReason?: string;
  failure?: TurnFailure;
  usage: Usage;
  finalMessage: string;
}

export type ApprovalDecision = "allow" | "allow_always" | "deny" | "deny_stop";

/** Where a driver puts what happens. Throwing never; `blocked` is a promise to wait for before more is read from the agent (the disk is full), else null. */
export interface Sink {
  write(record: SpoolRecord): void;
  raw(line: string): { file: string; offset: number; bytes: number };
  blocked?(): Promise<void> | null;
}

/** A live agent conversation. */
export interface ProviderSession {
  readonly providerSessionId: string;
  readonly pid: number;
  /** Sends the prompt; resolves at the end of the turn, when the agent holds no unfinished input of ours. */
  prompt(turnId: string, inputId: string, text: string): Promise<TurnEnd>;
  interrupt(): Promise<void>;
  /** False when nothing with this id is open. */
  respond(approvalId: string, decision: ApprovalDecision): boolean;
  /** The agent waits for others: its silence is no stall. */
  expectSilence(expected: boolean): void;
  /** Stop ladder: close stdin, TERM, grace, KILL of every descendant, verify. Idempotent. No interrupt of its own: an agent told of a cancel would take a lost attempt for a user's wish. */
  close(graceMs: number): Promise<void>;
  /** Resolves when the process is gone. */
  readonly exited: Promise<{ code: number | null; signal: string | null }>;
}

/** One driver per agent protocol. */
export interface ProviderDriver {
  readonly kind: string;
  capabilities(): ProviderCapabilities;
  /** Errors: a ProviderOpenError with a failure class (`not_found`, `handshake`, `auth`, …). */
  open(spec: LaunchSpec, sink: Sink): Promise<ProviderSession>;
}

export class ProviderOpenError extends Error {
  readonly failure: TurnFailure;
  constructor(failure: TurnFailure) {
    super(failure.message);
    this.name = "ProviderOpenError";
    this.failure = failure;
  }
}
