import { setTimeout as sleep } from "node:timers/promises";
import { pidLives } from "../../support/node-process.ts";
import type { McpDoor } from "./mcp-door.ts";

/** What came of the requests of one caller who asks on and on, each until it is acknowledged. */
export interface SteadyRequests {
  /** by key: what the door acknowledged */
  readonly acknowledged: Map<string, Record<string, unknown>>;
  /** refusals that said when to repeat */
  readonly hints: number;
  /** anything else a door said: must stay empty */
  readonly wrong: string[];
  /** ends after the current request is acknowledged */
  stop(): Promise<void>;
}

/** One request after the other, each with a key of its own, repeated with the same key as long as the door says UNAVAILABLE. */
export function steadyRequests(door: McpDoor, make: (n: number) => { clientRequestId: string; [name: string]: unknown }, pauseMs: number): SteadyRequests {
  const acknowledged = new Map<string, Record<string, unknown>>();
  const wrong: string[] = [];
  let hints = 0;
  let stopped = false;
  const until = async (request: { clientRequestId: string }): Promise<void> => {
    for (const end = Date.now() + 120_000; ;) {
      const answer = await door.call(request);
      if (answer.ok) return void acknowledged.set(request.clientRequestId, answer.data ?? {});
      const { code, retryAfterMs, retryable } = answer.error ?? { code: "none" };
      // A queue that is full says so; the caller waits as with an outage.
      if (code !== "QUEUE_FULL") {
        if (code === "UNAVAILABLE" && retryable === true && retryAfterMs !== undefined && retryAfterMs > 0) hints += 1;
        else wrong.push(JSON.stringify(answer.error));
      }
      if (Date.now() > end || !pidLives(door.process.pid ?? -1)) return void wrong.push(`never acknowledged: ${request.clientRequestId}`);
      await sleep(Math.min(retryAfterMs ?? 1_000, 1_000));
    }
  };
  const running = (async () => {
    for (let n = 1; !stopped; n++) {
      await until(make(n));
      await sleep(pauseMs);
    }
  })();
  return {
    acknowledged,
    wrong,
    get hints() {
      return hints;
    },
    async stop() {
      stopped = true;
      await running;
    },
  };
}
