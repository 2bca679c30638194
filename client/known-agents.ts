/** An agent that Baton has presets for. */
export interface KnownAgent {
  providerType: "claude" | "codex" | "opencode" | "gemini";
  title: string;
  /** argv of its ACP side; the first one is the program that must be on PATH */
  command: readonly [string, ...string[]];
  /** the agent behind an adapter, when that is a program of its own */
  agent?: string;
  /** a line for a shell */
  install: string;
  /** files under HOME of which one is there after a login */
  loginFiles: readonly string[];
  login: string;
}

/** Claude Code and Codex speak ACP through an adapter, the others themselves. Found on the machine, never bundled. */
export const knownAgents: readonly KnownAgent[] = [
  {
    providerType: "opencode",
    title: "OpenCode",
    command: ["opencode", "acp"],
    install: "npm install -g opencode-ai",
    loginFiles: [".local/share/opencode/auth.json"],
    login: "opencode auth login",
  },
  {
    providerType: "gemini",
    title: "Gemini CLI",
    command: ["gemini", "--acp"],
    install: "npm install -g @google/gemini-cli",
    loginFiles: [".gemini/oauth_creds.json", ".gemini/google_accounts.json"],
    login: "gemini (and choose how to sign in)",
  },
  {
    providerType: "claude",
    title: "Claude Code",
    command: ["claude-agent-acp"],
    agent: "claude",
    install: "npm install -g @anthropic-ai/claude-code @agentclientprotocol/claude-agent-acp",
    loginFiles: [".claude/.credentials.json"],
    login: "claude /login",
  },
  {
    providerType: "codex",
    title: "Codex",
    command: ["codex-acp"],
    agent: "codex",
    install: "npm install -g @openai/codex @agentclientprotocol/codex-acp",
    loginFiles: [".codex/auth.json"],
    login: "codex login",
  },
];

/** What to install for a provider; null: Baton knows no package of it. */
export function installHint(providerType: string): string | null {
  return knownAgents.find((agent) => agent.providerType === providerType)?.install ?? null;
}
