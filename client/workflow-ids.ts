import { createHash } from "node:crypto";
import { localPrincipal } from "./caller.ts";

/** Temporal allows 1,000 bytes; beyond this an id is unreadable anyway. */
const longest = 200;

/** The workflow's id for a request: the caller's key, so that it can be found in Temporal's UI; without one the session's ULID. */
export function workflowIdFor(a: { principal: string; key: string | null; sessionUlid: string }): string {
  if (a.key === null) return a.sessionUlid;
  // Encoded, so that no key contains `/` (children), `~` (generations) or `:` (principals): two requests can never share an id.
  const encoded = encodeURIComponent(a.key).replaceAll("~", "%7E");
  const id = a.principal === localPrincipal ? encoded : `${encodeURIComponent(a.principal)}:${encoded}`;
  return id.length <= longest ? id : `sha256-${createHash("sha256").update(id).digest("hex")}`;
}
