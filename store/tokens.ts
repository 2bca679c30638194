import type { Scope } from "../contracts/scopes.ts";
import { type Database, txRow } from "./database.ts";
import { lockHead } from "./events.ts";
import { holds } from "./holds.ts";
import type { Tx } from "./store.ts";

/** A credential. Its secret is nowhere: only its hash. */
export interface TokenRow {
  tokenId: string;
  principal: string;
  name: string;
  scopes: Scope[];
  /** the session whose agent has it, and the runner that it was minted for */
  sessionUlid: string | null;
  runnerId: string | null;
  createdAt: string;
  expiresAt: string | null;
  revokedAt: string | null;
}
export type NewToken = Pick<TokenRow, "tokenId" | "principal" | "name" | "scopes"> & { secretSha256: string; expiresAt: string | null };

/** A token as somebody who shows it is judged: `valid` by Postgres's clock; of a session's also only while that is open. */
export type PresentedToken = TokenRow & { secretSha256: string; valid: boolean; agentHandle: string | null };

export interface TokenStore {
  insert(tx: Tx, token: NewToken): Promise<TokenRow>;
  present(tokenId: string): Promise<PresentedToken | null>;
  get(tokenId: string): Promise<TokenRow | null>;
  /** people's and programs' tokens, newest first; agents' come and go with their runners */
  list(): Promise<TokenRow[]>;
  revoke(tx: Tx, tokenId: string): Promise<void>;
  /** The one live token of a session's agent: the former is revoked with it. False when another claim owns the session. */
  mint(a: {
    tokenId: string;
    secretSha256: string;
    principal: string;
    scopes: readonly Scope[];
    sessionUlid: string;
    runnerId: string;
    epoch: number;
    owner: string;
  }): Promise<boolean>;
}

const columns = "token_id, principal, name, scopes, session_ulid, runner_id, created_at, expires_at, revoked_at";

/** Credentials beside the operator's token file. */
export function tokenStore(db: Database): TokenStore {
  return {
    async insert(tx, t) {
      return (await txRow<TokenRow>(
        tx,
        `insert into token (token_id, principal, name, scopes, secret_sha256, expires_at) values ($1, $2, $3, $4, $5, $6) returning ${columns}`,
        [t.tokenId, t.principal, t.name, JSON.stringify(t.scopes), t.secretSha256, t.expiresAt],
      ))!;
    },
    present: (tokenId) =>
      db.row<PresentedToken>(
        `select ${columns.replaceAll(/\w+/g, "t.$&")}, t.secret_sha256, s.agent_handle,
        t.revoked_at is null and (t.expires_at is null or t.expires_at > clock_timestamp()) and (t.session_ulid is null or s.closed_at is null) as valid
        from token t left join session s using (session_ulid) where t.token_id = $1`,
        [tokenId],
      ),
    get: (tokenId) => db.row<TokenRow>(`select ${columns} from token where token_id = $1`, [tokenId]),
    list: () => db.rows<TokenRow>(`select ${columns} from token where session_ulid is null order by token_id desc limit 500`),
    async revoke(tx, tokenId) {
      await tx.query("update token set revoked_at = coalesce(revoked_at, clock_timestamp()) where token_id = $1", [tokenId]);
    },
    mint: (a) =>
      db.transaction(async (tx) => {
        // Under the head's lock: a worker that was frozen must not take its successor's agent the token.
        if (!holds(await lockHead(tx, a.sessionUlid), a)) return false;
        await tx.query("update token set revoked_at = clock_timestamp() where session_ulid = $1 and revoked_at is null", [a.sessionUlid]);
        await tx.query(
          "insert into token (token_id, principal, name, scopes, secret_sha256, session_ulid, runner_id) values ($1, $2, 'agent', $3, $4, $5, $6)",
          [a.tokenId, a.principal, JSON.stringify(a.scopes), a.secretSha256, a.sessionUlid, a.runnerId],
        );
        return true;
      }),
  };
}
