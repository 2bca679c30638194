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
  revision: number;
  /** sha256 of the parsed file */
  sha256: string;
}
