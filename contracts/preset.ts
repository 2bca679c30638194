import type { Scope } from "./scopes.ts";

/** A launcher configuration: built in, or `BATON_HOME/presets/<key>.json` of the same shape. */
export interface Preset {
  key: string;
  displayName: string;
  providerType: "claude" | "codex" | "opencode" | "gemini" | "acp" | "scripted";
  description?: string;
  tags?: string[];
  /** `command`: an ACP agent's argv; `scenario`: a scripted agent's file or inline scenario; `model`; `env` by reference (a file's `env` is put here too) */
  config: { command?: string[]; wrapper?: string[]; model?: string; scenario?: unknown; env?: { name: string; valueRef: string }[] } & Waits;
  worktree?: { shouldCreateWorktree?: boolean; allowReuseExistingWorktree?: boolean };
  permissions: Permissions;
  limits?: Limits;
  /** lines for `sh -c` in the workspace, before the first turn */
  bootstrapCommands?: string[];
  tools?: string[];
  /** false: a launch's `config` is refused */
  allowAdhocOverrides?: boolean;
  /** what an agent's own token may have of `session:read, session:control, session:launch`; default: all three; none: it gets no gateway */
  agentScopes?: Scope[];
  /** grows by one with every change through `pm_provider` */
  revision: number;
  /** sha256 of the parsed file */
  sha256: string;
}

/** How long nothing has to happen between turns until something is ended. Milliseconds. */
export interface Waits {
  /** the agent's process; absent: the host's own */
  keepAliveMs?: number;
  /** the session; absent: never */
  sessionIdleCloseMs?: number;
}

/** What an agent may do. A rule before the mode, the first rule that matches. */
export interface Permissions {
  mode: "deny-all" | "approve-reads" | "ask" | "approve-all";
  /** of what the mode would allow: paths outside the workspace */
  outsideWorkspace?: "ask" | "deny";
  /** `tool`: the tool's name or its ACP kind, `*` for any; `pathGlob`: relative to the workspace, or absolute */
  rules?: { tool: string; pathGlob?: string; commandPrefix?: string; decision: "allow" | "deny" | "ask" }[];
  /** how long a permission waits for people; absent: for ever */
  deadlineSeconds?: number;
  /** what becomes of it then (default deny); `wait`: it is late, and waits on */
  onDeadline?: "deny" | "wait";
}

/** What a session may use over all its turns. `wallSeconds`: the agent's own time, not what it waits for people; `idleSeconds`: without a sign of the agent, in one turn. */
export interface Limits {
  wallSeconds?: number;
  idleSeconds?: number;
  turns?: number;
  tokens?: number;
  costMicros?: number;
}

/** A value that a launch set over its preset's, and who. Long values are given as `{sha256, bytes}`. */
export interface Override {
  path: string;
  from: unknown;
  to: unknown;
  by: string;
}

/** What a host needs to launch a session's agent: the preset with the caller's overrides, as stored in `SessionRow.args.effective`. Never a secret's value. */
export interface EffectiveLaunch extends Waits {
  providerType: Preset["providerType"];
  /** argv of an ACP agent; absent for `scripted`, whose agent the host knows */
  command?: string[];
  /** argv that goes before the agent's */
  wrapper?: string[];
  model?: string;
  /** a scripted agent's file or inline scenario */
  scenario?: unknown;
  env?: { name: string; valueRef: string }[];
  /** names of the tools that the agent may use; absent: all that its permissions allow */
  tools?: string[];
  permissions: Preset["permissions"];
  agentScopes?: Scope[];
  /** the preset's: no turn has a model of its own (sessions of an older Baton do not say it) */
  allowAdhocOverrides?: false;
  limits: Limits;
}
