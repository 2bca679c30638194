import type { Config } from "../contracts/config.schema.ts";
import type { ChainActivities, SessionActivities } from "../contracts/messages.ts";
import type { Store } from "../store/store.ts";
import { createChainActivities } from "./chain-activities.ts";
import { createSessionActivities } from "./session-activities.ts";

/** Everything the engine worker runs for workflows. */
export function createEngineActivities(deps: { store: Store; config: Config }): SessionActivities & ChainActivities {
  return { ...createSessionActivities(deps), ...createChainActivities(deps) };
}
