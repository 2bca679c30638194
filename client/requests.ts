import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import { sessionPrincipal } from "../contracts/scopes.ts";
import type { ChainRow, SessionRow } from "../store/rows.ts";
import type { RequestKey, Store, Tx } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import { fingerprint } from "./fingerprint.ts";
import { wasPurged } from "./purged.ts";

export type Args = Record<string, unknown>;

/** The request's key in the store: keys that create sessions or chains share the scope `create`, every other action has its own. Errors: INVALID_ARGUMENT with a fresh ULID as example. */
export function requestKey(caller: Caller, scope: string, args: Args): RequestKey {
  const key = args["clientRequestId"] ?? null;
  if (key !== null && (typeof key !== "string" || key.length < 1 || key.length > 120)) {
    throw new BatonError("INVALID_ARGUMENT", "clientRequestId is a string of 1 to 120 characters.", {
      field: "clientRequestId",
      example: { clientRequestId: ulid() },
    });
  }
  return { principal: caller.principal, scope, key, ...fingerprint(args) };
}

class Free extends Error {}

/** What an earlier call with the key stored; null: the key is free. (An effect that throws takes nothing, so this asks without a trace.) */
export async function storedAnswer<T extends Record<string, unknown>>(store: Store, key: RequestKey): Promise<T | null> {
  if (key.key === null) return null;
  try {
    const { ids } = await store.recordRequest<T>(key, { principal: key.principal, actor: key.principal, action: "lookup", target: null }, () =>
      Promise.reject(new Free()),
    );
    return ids;
  } catch (error) {
    if (error instanceof Free) return null;
    throw error;
  }
}

/** Records a mutation: key, audit row and effect in one transaction. `detail`: what the audit row says of it; the effect may still fill it. */
export function record<T extends Record<string, unknown>>(
  store: Store,
  caller: Caller,
  a: { action: string; scope?: string; args: Args; target: string | null; detail?: Record<string, unknown> },
  effect: (tx: Tx) => Promise<T>,
): Promise<{ ids: T; replayed: boolean }> {
  const audit = { principal: caller.principal, actor: actorOf(caller, a.args), action: a.action, target: a.target, ...(a.detail ? { detail: a.detail } : {}) };
  return store.recordRequest(requestKey(caller, a.scope ?? a.action, a.args), audit, effect);
}

/** Whom the caller claims to act as; a leading `@` means nothing. Error: PERMISSION_DENIED when a session's agent claims to be somebody else. */
export function actorOf(caller: Caller, args: Args): string {
  const own = String(caller.actor ?? caller.principal).replace(/^@/, "");
  const field = args["actor"] === undefined ? "actorHandle" : "actor";
  const claimed = String(args[field] ?? own).replace(/^@/, "");
  if (caller.session === undefined || claimed === own) return claimed;
  throw new BatonError("PERMISSION_DENIED", `This session's agent is "${own}" and acts as nobody else: leave ${field} out.`, { field, allowed: [own] });
}

/** Where an input comes from: an agent's session by its ULID, whatever handle it has; else the actor. */
export function sourceOf(caller: Caller, args: Args): string {
  return caller.session === undefined ? actorOf(caller, args) : sessionPrincipal(caller.session);
}

export const isUlid = (text: string): boolean => /^[0-9A-HJKMNP-TV-Z]{26}$/i.test(text);

/** A session by ULID or readable name. Error: BatonError NOT_FOUND, also for a purged one. */
export async function findSession(store: Store, reference: string): Promise<SessionRow> {
  const row = await findAnySession(store, reference);
  if (row.purge) throw wasPurged(row);
  return row;
}

/** The same, and what is left of a purged one. */
export async function findAnySession(store: Store, reference: string): Promise<SessionRow> {
  const row = await sessionRow(store, reference);
  if (row) return row;
  throw await notASession(store, reference);
}

/** Where a chain's id may stand for a session's: which of the two it is. Error: NOT_FOUND, also for a purged session. */
export async function findSessionOrChain(store: Store, reference: string): Promise<{ session: SessionRow; chain: null } | { session: null; chain: ChainRow }> {
  const session = await sessionRow(store, reference);
  if (session?.purge) throw wasPurged(session);
  if (session) return { session, chain: null };
  const chain = await chainOf(store, reference);
  if (chain) return { session: null, chain };
  throw noSession(reference);
}

const sessionRow = (store: Store, reference: string): Promise<SessionRow | null> =>
  isUlid(reference) ? store.sessions.get(reference.toUpperCase()) : store.sessions.byName(reference);

/** The chain whose id this is; null: it is none. */
export const chainOf = async (store: Store, reference: string): Promise<ChainRow | null> =>
  isUlid(reference) ? store.chains.get(reference.toUpperCase()) : null;

/** NOT_FOUND for a reference that no session has; a chain's id is told from what is not there at all. */
export async function notASession(store: Store, reference: string, field?: string): Promise<BatonError> {
  const chain = await chainOf(store, reference);
  return chain ? isChain(chain, field) : noSession(reference, field);
}

/** NOT_FOUND for a chain's id where it cannot stand for a session's, with whom to name instead. */
export function isChain({ chainId, executorUlid }: ChainRow, field = "sessionUlid"): BatonError {
  return new BatonError("NOT_FOUND", `"${chainId}" is a chain, and this is done to one session: its executor is ${executorUlid}.`, {
    field,
    next: [{ tool: "pm_session", args: { action: "get", sessionUlid: chainId }, why: "the chain's sessions" }],
  });
}

/** NOT_FOUND, with the call that shows which there are. The same words for what is not there and for what the caller does not reach. */
export function noSession(reference: string, field = "sessionUlid"): BatonError {
  return new BatonError("NOT_FOUND", `There is no session "${reference}".`, {
    field,
    next: [{ tool: "pm_session", args: { action: "list" }, why: "the sessions there are" }],
  });
}
