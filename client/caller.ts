import { type Scope, scopes } from "../contracts/scopes.ts";
import type { Viewer } from "../store/reach.ts";

/** Who calls (from a credential) and whom they claim to act as. */
export interface Caller {
  principal: string;
  /** whom they act as when a call does not say; a session's agent can be nobody else */
  actor?: string;
  /** absent: all of them */
  scopes?: readonly Scope[];
  /** ULID of the session whose agent this is */
  session?: string;
}

/** The local operator: the token file, stdio. Its keys need no prefix in Temporal. */
export const localPrincipal = "local";

/** Everything about the caller, as text: a credential that allows less is another owner. */
export function ownerOf(caller: Caller): string {
  return JSON.stringify(caller);
}

/** Null: the local operator, who sees everything. */
export function viewerOf(caller: Caller): Viewer | null {
  if (caller.session !== undefined) return { session: caller.session };
  return caller.principal === localPrincipal ? null : { owner: caller.principal };
}

export function hasScope(caller: Caller, scope: Scope): boolean {
  return (caller.scopes ?? scopes).includes(scope);
}
