import type { Scope } from "./scopes.ts";

/** A launcher configuration: built in, or `BATON_HOME/presets/<key>.json` of the same shape. */
export interface Preset {
  key: string;
  displayName: string;
  providerType: "claude" | "codex" | "opencode" | "gemini" | "acp" | "scripted";
  description?: string;
  /** `command`: an ACP agent's argv; `scenario`: a scripted agent's file or inline scenario; `model`; `env` by reference */
  config: { command?: string[]; wrapper?: string[]; model?: string; scenario?: unknown; env?: { name: string; valueRef: string }[] };
  permissions: { mode: "deny-all" | "approve-reads" | "ask" | "approve-all" };
  limits?: { wallSeconds?: number };
  /** what an agent's own token may have of `session:read, session:control, session:launch`; default: all three; none: it gets no gateway */
  agentScopes?: Scope[];
  revision: number;
  /** sha256 of the parsed file */
  sha256: string;
}

/** What a host needs to launch a session's agent: the preset with the caller's overrides, as stored in `SessionRow.args.effective`. Never a secret's value. */
export interface EffectiveLaunch {
  providerType: Preset["providerType"];
  /** argv of an ACP agent; absent for `scripted`, whose agent the host knows */
  command?: string[];
  /** argv that goes before the agent's */
  wrapper?: string[];
  model?: string;
  /** a scripted agent's file or inline scenario */
  scenario?: unknown;
  env?: { name: string; valueRef: string }[];
  permissions: Preset["permissions"];
  agentScopes?: Scope[];
  limits: { wallSeconds?: number };
}
