import { parseArgs } from "node:util";
import { repositoryInspector } from "../client/inspect-repository.ts";
import type { Baton } from "../client/open-baton.ts";
import { NoBaton } from "../client/pm-client.ts";
import { readConfig } from "../contracts/config.schema.ts";
import type { Scope } from "../contracts/scopes.ts";
import { exitCodes, Usage } from "./exit-codes.ts";
import { type Environment, findRunning } from "./running.ts";

export const tokenUsage = `baton token create <principal> --scopes session:read,session:control [--name text] [--expires seconds] [--json]
baton token list [--json]
baton token revoke <tokenId> [--json]
    credentials of people and programs; a secret is shown once. Scopes: session:read, session:control, session:launch, session:purge, operator`;

type Tokens = Baton["tokens"];
type Token = Awaited<ReturnType<Tokens["list"]>>[number];

const operator = { principal: "local" };

/** Makes, lists and revokes tokens: on the machine that Baton runs on, by its own user. No door does it, so that no agent can. */
export async function token(argv: string[], env: Environment): Promise<number> {
  const options = { json: { type: "boolean" }, scopes: { type: "string" }, name: { type: "string" }, expires: { type: "string" } } as const;
  const { values, positionals } = parseArgs({ args: argv, allowPositionals: true, options });
  const [verb, subject, ...more] = positionals;
  const complete = { create: subject !== undefined && values.scopes !== undefined, list: subject === undefined, revoke: subject !== undefined };
  if (!verb || !Object.hasOwn(complete, verb) || !complete[verb as keyof typeof complete] || more.length > 0) throw new Usage(tokenUsage);
  return withTokens(env, async (tokens) => {
    if (verb === "list") show(await tokens.list(operator), values.json, (all) => all.map(line).join("\n") || "No tokens but the operator's token file.");
    else if (verb === "revoke") show(await tokens.revoke(operator, { tokenId: subject ?? "" }), values.json, (gone) => `Revoked: ${line(gone)}`);
    else {
      // Whether they are scopes, `create` says.
      const scopes = (values.scopes ?? "").split(",").map((scope) => scope.trim()) as Scope[];
      // Also whether "", a variable that is not set, is a number of seconds: it must not mean for ever.
      const args = { principal: subject ?? "", scopes };
      const more = { ...(values.name ? { name: values.name } : {}), ...(values.expires === undefined ? {} : { expiresInSeconds: Number(values.expires) }) };
      show(await tokens.create(operator, { ...args, ...more }), values.json, (made) => `${made.secret}\n${line(made.token)}\nThe secret is shown this once.`);
    }
    return exitCodes.done;
  });
}

async function withTokens(env: Environment, use: (tokens: Tokens) => Promise<number>): Promise<number> {
  if (env["BATON_URL"]) throw new Usage("Tokens are made on the machine that Baton runs on, in its database: unset BATON_URL, and set BATON_HOME if need be.");
  const { databaseUrl, temporalAddress, instance, hostId } = findRunning(env);
  if (!databaseUrl || !temporalAddress) throw new NoBaton("The Baton that runs does not say where its database is.");
  const config = readConfig(env);
  const where = { databaseUrl, temporalAddress, instance: instance ?? config.instance, hostId: hostId ?? config.hostId };
  // Here, so that the other commands do not wait for the clients of Postgres and Temporal to be loaded.
  const { openBaton } = await import("../client/open-baton.ts");
  const baton = await openBaton({ ...config, ...where, inspectRepository: repositoryInspector(env), searchPath: env["PATH"] ?? "" });
  try {
    return await use(baton.tokens);
  } finally {
    await baton.close();
  }
}

function show<T>(value: T, json: boolean | undefined, text: (value: T) => string): void {
  console.log(json ? JSON.stringify(value) : text(value));
}

function line({ tokenId, principal, name, scopes, expiresAt, revokedAt }: Token): string {
  const end = revokedAt ? `revoked ${revokedAt}` : expiresAt ? `until ${expiresAt}` : "for ever";
  return `${tokenId}  ${principal}  ${name}  ${scopes.join(",")}  ${end}`;
}
