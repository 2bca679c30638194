import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import { type Scope, scopes } from "../contracts/scopes.ts";
import { fits, newSecret, tokenIdOf } from "../contracts/token-secret.ts";
import type { TokenRow } from "../store/tokens.ts";
import { type Caller, hasScope } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { record } from "./requests.ts";

export interface CreateTokenArgs {
  /** who shows it is this: each principal has its own sessions and keys; `local` is the operator, with these scopes only */
  principal: string;
  /** for lists */
  name?: string;
  scopes: Scope[];
  /** default: never */
  expiresInSeconds?: number;
  actor?: string;
}
export type TokenView = Omit<TokenRow, "sessionUlid" | "runnerId">;

const principalPattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** Makes a credential. Its secret is in this answer and nowhere else. Errors: PERMISSION_DENIED without the scope `operator`, INVALID_ARGUMENT. */
export async function createToken(deps: Deps, caller: Caller, args: CreateTokenArgs): Promise<{ token: TokenView; secret: string }> {
  mustBeOperator(caller);
  const wrong = (field: string, message: string, allowed?: unknown) => new BatonError("INVALID_ARGUMENT", message, { field, allowed });
  if (!principalPattern.test(args.principal)) throw wrong("principal", "A principal is lower-case letters, digits, dots, dashes and underscores, at most 64.");
  const unknown = args.scopes.find((scope) => !scopes.includes(scope));
  if (unknown !== undefined || args.scopes.length === 0) throw wrong("scopes", `Give one scope or more${unknown ? `; "${unknown}" is none` : ""}.`, scopes);
  const seconds = args.expiresInSeconds;
  if (seconds !== undefined && !(Number.isInteger(seconds) && seconds > 0 && seconds <= 10 * 366 * 86_400))
    throw wrong("expiresInSeconds", "expiresInSeconds is a whole number of seconds, at most ten years.");
  const store = await deps.getStore();
  const tokenId = ulid();
  const { secret, secretSha256 } = newSecret(tokenId);
  const expiresAt = seconds === undefined ? null : new Date(Date.now() + seconds * 1_000).toISOString();
  await record(store, caller, { action: "token.create", args: { ...args }, target: tokenId }, async (tx) => {
    const name = args.name ?? args.principal;
    await store.tokens.insert(tx, { tokenId, principal: args.principal, name, scopes: [...new Set(args.scopes)], secretSha256, expiresAt });
    return { tokenId };
  });
  return { token: view((await store.tokens.get(tokenId))!), secret };
}

/** People's and programs' tokens, revoked ones too; never a secret. */
export async function listTokens(deps: Deps, caller: Caller): Promise<TokenView[]> {
  mustBeOperator(caller);
  return (await (await deps.getStore()).tokens.list()).map(view);
}

/** From the next call on it is refused. Idempotent. Error: NOT_FOUND. */
export async function revokeToken(deps: Deps, caller: Caller, args: { tokenId: string }): Promise<TokenView> {
  mustBeOperator(caller);
  const store = await deps.getStore();
  if (!(await store.tokens.get(args.tokenId))) throw new BatonError("NOT_FOUND", `There is no token ${args.tokenId}.`, { field: "tokenId" });
  await record(store, caller, { action: "token.revoke", args: { ...args }, target: args.tokenId }, async (tx) => {
    await store.tokens.revoke(tx, args.tokenId);
    return { tokenId: args.tokenId };
  });
  return view((await store.tokens.get(args.tokenId))!);
}

/** Who shows this secret; null: nobody we know, or no longer. */
export async function callerOf(deps: Deps, secret: string): Promise<Caller | null> {
  const tokenId = tokenIdOf(secret);
  if (tokenId === null) return null;
  const token = await (await deps.getStore()).tokens.present(tokenId);
  if (!token || !fits(secret, token.secretSha256) || !token.valid) return null;
  const caller: Caller = { principal: token.principal, scopes: token.scopes };
  return token.sessionUlid === null ? caller : { ...caller, session: token.sessionUlid, actor: token.agentHandle ?? token.principal };
}

function mustBeOperator(caller: Caller): void {
  if (caller.session === undefined && hasScope(caller, "operator")) return;
  throw new BatonError("PERMISSION_DENIED", 'Tokens are made and revoked with the scope "operator", and never by an agent.', { field: "scope" });
}

function view({ sessionUlid: _session, runnerId: _runner, ...token }: TokenRow): TokenView {
  return token;
}
