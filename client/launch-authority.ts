import { BatonError } from "../contracts/failures.ts";
import type { Caller } from "./caller.ts";

/** What a credential may hold beside its principal; without both it is the local operator's. */
interface Credential {
  scopes?: readonly string[];
  session?: string | { sessionUlid: string } | null;
}

/** The session whose agent calls; null: somebody else does. */
export function callingSession(caller: Caller): string | null {
  const { session } = caller as Caller & Credential;
  return session === undefined || session === null ? null : typeof session === "string" ? session : session.sessionUlid;
}

export const isAgent = (caller: Caller): boolean => callingSession(caller) !== null;

/** Commands that run on the host as Baton's user are the operator's to give. Error: PERMISSION_DENIED. */
export function mustBeOperator(caller: Caller, field: string): void {
  const { scopes } = caller as Caller & Credential;
  if (!isAgent(caller) && (scopes === undefined || scopes.includes("operator"))) return;
  throw new BatonError("PERMISSION_DENIED", `${field} needs the scope "operator"${isAgent(caller) ? ", which no agent has" : ""}: put them in a preset.`, {
    field,
  });
}
