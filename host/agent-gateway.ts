import { join } from "node:path";
import { ulid } from "ulid";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import type { AgentGateway } from "../contracts/provider.ts";
import { agentScopes, sessionPrincipal } from "../contracts/scopes.ts";
import { newSecret } from "../contracts/token-secret.ts";
import type { SessionRow } from "../store/rows.ts";
import { Fenced, type HostDeps } from "./deps.ts";

const bridge = [process.execPath, join(import.meta.dirname, "..", "mcp-gateway", "agent-bridge-main.ts")];

/** The gateway for a session's agent, with a token that is minted for this runner alone; null: this host knows of no gateway, or its preset's `agentScopes` is empty. Throws Fenced when another claim owns the session. */
export async function agentGateway(deps: HostDeps, session: SessionRow, a: { runnerId: string; epoch: number }): Promise<AgentGateway | null> {
  const url = deps.config.gatewayUrl;
  if (url === undefined) return null;
  const narrowed = (session.args["effective"] as EffectiveLaunch).agentScopes ?? agentScopes;
  if (narrowed.length === 0) return null;
  const tokenId = ulid();
  const { secret, secretSha256 } = newSecret(tokenId);
  const minted = await deps.store.tokens.mint({
    tokenId,
    secretSha256,
    principal: sessionPrincipal(session.sessionUlid),
    scopes: agentScopes.filter((scope) => narrowed.includes(scope)),
    sessionUlid: session.sessionUlid,
    runnerId: a.runnerId,
    epoch: a.epoch,
    owner: deps.owner,
  });
  if (!minted) throw new Fenced("mint");
  return { url, token: secret, bridge };
}
