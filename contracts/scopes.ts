/** What a credential may allow, in the order in which people grant it. `session:read` changes nothing; `operator` decides over the installation (bootstrap commands, presets, tokens). */
export const scopes = ["session:read", "session:control", "session:launch", "session:purge", "operator"] as const;
export type Scope = (typeof scopes)[number];

/** What an agent's own token may have at most; a preset's `agentScopes` narrows it. */
export const agentScopes = ["session:read", "session:control", "session:launch"] as const;

/** The principal that a session's agent is. No person's or program's name has a colon. */
export function sessionPrincipal(sessionUlid: string): string {
  return `session:${sessionUlid}`;
}

/** Is it a session's agent? */
export const isSessionPrincipal = (principal: string): boolean => principal.startsWith(sessionPrincipal(""));
