import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as Temporal, Connection } from "@temporalio/client";
import pg from "pg";
import { ulid } from "ulid";
import type { LaunchArgs } from "../../client/launch-plan.ts";
import { type Baton, type Caller, openBaton } from "../../client/open-baton.ts";
import { agentScopes, type Scope, sessionPrincipal } from "../../contracts/scopes.ts";
import { newSecret } from "../../contracts/token-secret.ts";
import { batonOptions, repository } from "../client/support.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { endNodeProcesses, nodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";

// A gateway without workers, callers of every kind, and an eye of our own on its database; opened and closed for each file that imports this.

export const home = temporaryDirectory();
export const root = join(import.meta.dirname, "..", "..");
export const instance = `t${randomBytes(4).toString("hex")}`;
export const local: Caller = { principal: "local" };
export const clients: Client[] = [];
let database: { url: string; drop(): Promise<void> };
export let env: Record<string, string>;
let url: URL;
export let sdk: Baton;
export let db: pg.Client;
export let repositoryPath: string;

beforeAll(async () => {
  database = await freshDatabase();
  repositoryPath = repository(join(home, "repository"));
  env = {
    BATON_HOME: home,
    BATON_PORT: "0",
    BATON_HOST_ID: "h1",
    BATON_INSTANCE: instance,
    DATABASE_URL: database.url,
    TEMPORAL_ADDRESS: process.env["TEST_TEMPORAL_ADDRESS"] ?? "",
  };
  const gateway = nodeProcess(join(root, "mcp-gateway/main.ts"), { env });
  url = new URL((JSON.parse((await gateway.line(/^ready (.*)$/m))[1] ?? "{}") as { url: string }).url);
  sdk = await openBaton({ ...batonOptions({ home, databaseUrl: database.url, instance }), agentChildren: 3, agentLaunches: 4, agentDepth: 2 });
  db = new pg.Client(database.url);
  await db.connect();
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  const connection = await Connection.connect({ address: env["TEMPORAL_ADDRESS"] ?? "" });
  const ids = (await db.query<{ workflow_id: string }>("select workflow_id from session")).rows;
  const temporal = new Temporal({ connection });
  await Promise.all(
    ids.map((row) =>
      temporal.workflow
        .getHandle(row.workflow_id)
        .terminate()
        .catch(() => undefined),
    ),
  );
  await Promise.allSettled([sdk.close(), db.end(), connection.close()]);
  await endNodeProcesses();
  await database.drop();
});

interface Answer {
  ok: boolean;
  data: Record<string, unknown>;
  error?: { code: string; message: string; field?: string; used?: number; allowed?: unknown };
}
type Call = (args: Record<string, unknown>, tool?: string) => Promise<Answer>;
/** A caller over HTTP with a token of its own. */
export async function connected(secret: string): Promise<Call> {
  const client = new Client({ name: "t", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers: { authorization: `Bearer ${secret}` } } }));
  clients.push(client);
  return async (args, tool = "pm_session") => (await client.callTool({ name: tool, arguments: args })).structuredContent as unknown as Answer;
}
export const status = async (secret: string) =>
  (
    await fetch(url, {
      method: "POST",
      headers: { authorization: `Bearer ${secret}`, "content-type": "application/json", accept: "application/json, text/event-stream" },
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
    })
  ).status;
export const person = async (principal: string, scopes: Scope[]) => connected((await sdk.tokens.create(local, { principal, scopes })).secret);
/** What a host does at spawn, without one. */
export async function agentsToken(sessionUlid: string, scopes: readonly Scope[] = agentScopes): Promise<string> {
  const tokenId = ulid();
  const { secret, secretSha256 } = newSecret(tokenId);
  await db.query("insert into token (token_id, principal, name, scopes, secret_sha256, session_ulid) values ($1, $2, 'agent', $3, $4, $5)", [
    tokenId,
    sessionPrincipal(sessionUlid),
    JSON.stringify(scopes),
    secretSha256,
    sessionUlid,
  ]);
  return secret;
}
export const agent = async (sessionUlid: string, scopes?: readonly Scope[]) => connected(await agentsToken(sessionUlid, scopes));
let keys = 0;
export function task(taskKey: string, more: Partial<LaunchArgs> = {}): LaunchArgs {
  return { clientRequestId: `${instance}-${(keys += 1)}`, taskKey, launcherConfigKey: "demo-executor", task: { title: "x", repositoryPath }, ...more };
}
export const launch = async (caller: Caller, args: LaunchArgs) => String((await sdk.sessions.launch(caller, args)).data["sessionUlid"]);
export const below = (sessionUlid: string): Caller => ({
  principal: sessionPrincipal(sessionUlid),
  session: sessionUlid,
  scopes: agentScopes,
  actor: "demo-executor",
});
export const audited = async (principal: string) =>
  (
    await db.query<{ action: string; target: string; actor: string; outcome: string }>(
      "select action, target, actor, outcome from audit where principal = $1 order by id",
      [principal],
    )
  ).rows;
