import type { NewEvent } from "./event.ts";
import type { ApprovalDecision, LaunchSpec, TurnEnd } from "./provider.ts";

/** Spool and control protocol between a host worker and a runner. Workers speak the previous one too. */
export const runnerProtocol = 1;

/** One line of the spool (NDJSON, whole records only; the byte offset after a record's newline is its end). */
export type SpoolRecord =
  | { kind: "event"; event: SpoolEvent }
  | { kind: "delta"; turnId: string; itemId: string; stream: "message" | "thought" | "output"; text: string }
  /** Written before the prompt goes to the agent: without it the agent never got the prompt. */
  | { kind: "mark"; mark: "prompt.written"; turnId: string; inputId: string }
  /** The turn is over for the agent. Last record of a turn. */
  | { kind: "mark"; mark: "turn.ended"; turnId: string; end: TurnEnd; providerSessionId: string | null };

/** Without a `turnId` it belongs to the turn for which the spool is read; null: to none, it happened between two turns. */
export type SpoolEvent = Omit<NewEvent, "turnId"> & { turnId?: string | null };

/** Every command carries who sends it; a lower epoch is refused and its connection closed. */
export interface Owner {
  epoch: number;
  owner: string;
}

export type RunnerCommand =
  | { cmd: "attach"; sessionUlid: string; runnerId: string }
  | { cmd: "status" }
  /** Idempotent by turnId. Answers when the prompt is in the spool and on its way, not at the turn's end. */
  | { cmd: "prompt"; turnId: string; inputId: string; text: string }
  | { cmd: "interrupt"; turnId: string }
  | { cmd: "respond"; approvalId: string; decision: ApprovalDecision }
  /** The agent waits for others and says nothing meanwhile: that is no stall. Forgotten when another worker attaches. Older runners refuse it. */
  | { cmd: "silence"; expected: boolean }
  | { cmd: "close"; reason: string };

export type RunnerRequest = { id: number } & Owner & RunnerCommand;

export interface RunnerStatus {
  protocol: number;
  sessionUlid: string;
  runnerId: string;
  specHash: string;
  pid: number;
  agentPid: number | null;
  epoch: number;
  providerSessionId: string | null;
  spoolPath: string;
  spoolEnd: number;
  /** the turn the agent works on, or null */
  turnId: string | null;
  /** turns whose prompt was written in this runner's life */
  promptedTurns: string[];
  closing: boolean;
}

export type RunnerReply =
  | { id: number; ok: true; status: RunnerStatus; applied?: boolean }
  | { id: number; ok: false; error: "fenced" | "closing" | "wrong_runner" | "busy" | "bad_request"; message: string; epoch?: number };

/** Pushed to the attached connection. A hint: the spool is the truth. */
export type RunnerNotice = { notice: "spool"; end: number } | { notice: "closing"; reason: string };

/** What `runner/main.ts` reads from its spec file (0600), deleted after reading. */
export interface RunnerSpec {
  launch: LaunchSpec;
  specHash: string;
  epoch: number;
  owner: string;
  uid: number;
  instance: string;
  /** directory of this session's runners: epoch file, spools, raw logs (0700) */
  dir: string;
  socketPath: string;
  stopGraceMs: number;
  keepAliveMs: number;
  orphanMs: number;
  maxSpoolBytes: number;
  maxEventBytes: number;
}

/** A keeper's connection to one runner; implemented by `runner/control-client.ts`. */
export interface RunnerConnection {
  readonly runnerId: string;
  request(command: RunnerCommand): Promise<RunnerReply>;
  status(): Promise<RunnerStatus>;
  /** Called on each notice, and once with null when the connection is gone. */
  onNotice(listener: (notice: RunnerNotice | null) => void): void;
  /** Drops the connection; the runner lives on. */
  detach(): void;
  /** Another connection to the same runner, in the same name; rejects as `attach` does. */
  again(): Promise<RunnerConnection>;
}

/** Both reject with an Error whose `code` is `fenced`, `closing`, `gone` or `spawn_failed`. */
export interface RunnerControl {
  /** `started` is awaited between the two. Starts a detached runner and attaches; resolves when its socket answers (the agent may still be opening). */
  spawn(spec: RunnerSpec, started?: () => Promise<void>): Promise<RunnerConnection>;
  attach(a: { socketPath: string; sessionUlid: string; runnerId: string } & Owner): Promise<RunnerConnection>;
}
