import { ulid } from "ulid";
import type { NewSession } from "../../store/rows.ts";
import { onBaton } from "../client/on-baton.ts";
import { newSession } from "../store/rows.ts";

/** Sessions, turns and chains as rows of a Baton that has no workers (`onBaton`). */
export function onRows() {
  const on = onBaton();
  let names = 0;
  return Object.assign(on, {
    /** an open, started, idle session without turns */
    async session(change: Partial<NewSession> = {}): Promise<string> {
      const { sessionUlid } = await newSession(on.store, { branchName: `baton/w-${(names += 1)}`, ...change });
      await on.store.sessions.markStarted(sessionUlid, 1, "run-1");
      await on.sql.query("update session set workspace = 'ready' where session_ulid = $1", [sessionUlid]);
      return sessionUlid;
    },
    /** a turn that runs, until `end`: then it has cost something, and said more than a view shows */
    async turn(sessionUlid: string): Promise<{ turnId: string; end(more?: Record<string, unknown>): Promise<void> }> {
      const turnId = ulid();
      const { inputs, turns } = on.store;
      await on.store.transaction((tx) =>
        inputs.insert(tx, { inputId: turnId, sessionUlid, prompt: "do it", delivery: "queue", source: "test", requestId: null, limit: 50 }),
      );
      const claim = await turns.claim({ sessionUlid, turnId, inputId: turnId, generation: 1, attempt: 1, taskToken: "t", owner: "o", minEpoch: 0 });
      if (claim.kind !== "claimed") throw new Error(claim.kind);
      const held = { sessionUlid, epoch: claim.head.epoch, owner: "o", turnId };
      return {
        turnId,
        async end(more = {}) {
          // Only a turn that began counts as used.
          await turns.start({ ...held, runnerId: "r", pid: 1 });
          const usage = { inputTokens: 10, outputTokens: 5, cachedTokens: 2, costMicros: 700 };
          const finalMessage = `It is done.\n\n${"More of it. ".repeat(600)}`;
          await turns.complete({ ...held, result: { outcome: "completed", usage, providerSessionId: "thread", ...more }, finalMessage });
        },
      };
    },
    close: (sessionUlid: string, state: "closed" | "failed" = "closed") =>
      on.store.sessions.end({ sessionUlid, generation: 1, state, reason: "test", ...(state === "failed" ? { message: "test" } : {}) }),
    /** a chain of these sessions; the first is its executor */
    async chain(taskKey: string, members: string[]): Promise<string> {
      const chainId = ulid();
      const config = { maxRounds: 3, roles: [] };
      await on.store.transaction((tx) =>
        on.store.chains.insert(tx, { chainId, workflowId: `wf-${chainId}`, taskKey, principal: "p", config, executorUlid: members[0]! }),
      );
      await on.sql.query("update session set chain_id = $2 where session_ulid = any($1)", [members, chainId]);
      return chainId;
    },
    /** where a session's log ends */
    last: async (sessionUlid: string) => (await on.store.events.head(sessionUlid))!.lastSeq,
  });
}
