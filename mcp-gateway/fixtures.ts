import type { Fixtures } from "./server.ts";
import type { Authenticate } from "./token.ts";

/** Tools beside the product's, from the module that BATON_MCP_FIXTURES names: `npm run test:conformance` sets it, nothing else does. */
export async function testFixtures(env: Record<string, string | undefined>): Promise<Fixtures | undefined> {
  const path = env["BATON_MCP_FIXTURES"];
  return path ? ((await import(path)) as { fixtures: Fixtures }).fixtures : undefined;
}

/** The token check, behind which the fixtures may let in one who has no token at all. Without fixtures it is the check itself. */
export function testAuthenticate(fixtures: Fixtures | undefined, authenticate: Authenticate): Authenticate {
  const anonymous = fixtures?.anonymous;
  return anonymous ? async (authorization) => (authorization === undefined ? anonymous : authenticate(authorization)) : authenticate;
}
