import type { Fixtures } from "./server.ts";

/** Tools beside the product's, from the module that BATON_MCP_FIXTURES names: `npm run test:conformance` sets it, nothing else does. */
export async function testFixtures(env: Record<string, string | undefined>): Promise<Fixtures | undefined> {
  const path = env["BATON_MCP_FIXTURES"];
  return path ? ((await import(path)) as { fixtures: Fixtures }).fixtures : undefined;
}
