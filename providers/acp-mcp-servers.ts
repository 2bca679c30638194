import type { LaunchSpec } from "../contracts/provider.ts";
import { objectOf } from "./acp-tools.ts";
import type { Json } from "./acp-tools.ts";

/** The MCP servers that an agent is given with its conversation: Baton's gateway. The token is in a header or in that server's environment, never in an argv. */
export function mcpServers(spec: LaunchSpec, agentCapabilities: Json): Json[] {
  const { gateway } = spec;
  if (gateway === undefined) return [];
  if (objectOf(agentCapabilities["mcpCapabilities"])["http"] === true)
    return [{ type: "http", name: "baton", url: gateway.url, headers: [{ name: "Authorization", value: `Bearer ${gateway.token}` }] }];
  const [command = "", ...args] = gateway.bridge;
  const env = { BATON_GATEWAY_URL: gateway.url, BATON_TOKEN: gateway.token };
  return [{ name: "baton", command, args, env: Object.entries(env).map(([name, value]) => ({ name, value })) }];
}
