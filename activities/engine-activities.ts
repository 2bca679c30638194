import type { ChainActivities, SessionActivities } from "../contracts/messages.ts";
import { createChainActivities } from "./chain-activities.ts";
import { createSessionActivities } from "./session-activities.ts";

/** Everything the engine worker runs for workflows. */
export function createEngineActivities(deps: Parameters<typeof createSessionActivities>[0]): SessionActivities & ChainActivities {
  return { ...createSessionActivities(deps), ...createChainActivities(deps) };
}
