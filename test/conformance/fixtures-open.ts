import type { Fixtures } from "../../mcp-gateway/server.ts";
import { fixtures as guarded } from "./fixtures.ts";

/** The same at a door without a token check: the official scenarios can send none. */
export const fixtures: Fixtures = { ...guarded, anonymous: { principal: "local" } };
