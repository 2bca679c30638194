import type { HostDeps } from "./deps.ts";
import type { WorkspaceMaker } from "./make-workspace.ts";
import { obtainRunner } from "./obtain-runner.ts";

/**
 * What a launched session's first turn will need, begun while Temporal still routes it: the workspace, then the agent in it.
 * A hint from the door, which may be lost, late or wrong: whoever has the turn makes what is not there.
 */
export interface ExpectedLaunches {
  expect(sessionUlid: string): Promise<void>;
  /** For whoever claims or ends the session: resolves when no agent is being started ahead of it (any more). */
  handOver(sessionUlid: string): Promise<void>;
  /** No more from now on; resolves when nothing is being started. */
  stop(): Promise<void>;
}

export function expectedLaunches(deps: HostDeps, workspaces: WorkspaceMaker): ExpectedLaunches {
  /** by session: its agent's start, until somebody claims or ends the session */
  const ahead = new Map<string, Promise<void>>();
  let stopped = false;

  /** False: there is nothing to start. The epoch is claimed for it as for a turn, so that whatever claims the session next finds this agent or fences it. */
  async function startAgent(sessionUlid: string): Promise<boolean> {
    const session = await deps.store.sessions.get(sessionUlid);
    const inputId = session?.args["inputId"];
    const input = typeof inputId === "string" ? await deps.store.inputs.get(inputId) : null;
    if (!session || !input || input.checkout) return false;
    const epoch = await deps.store.turns.claimAhead({ sessionUlid, owner: deps.owner });
    if (epoch === null) return false;
    const runner = await obtainRunner(deps, { session, epoch, configuration: input.configuration }, null);
    runner.connection.detach();
    return true;
  }

  return {
    async expect(sessionUlid) {
      await workspaces.expect(sessionUlid);
      // An agent that would wait for its slot is not to take memory meanwhile.
      if (stopped || ahead.has(sessionUlid) || deps.slots.free <= ahead.size) return;
      const started = startAgent(sessionUlid)
        .catch((error: unknown) => {
          deps.log.info({ sessionUlid, why: String(error) }, "the agent was not started ahead of its turn");
          return false;
        })
        .then((there) => {
          // Often its turn came first: nobody will claim what is not there.
          if (!there) ahead.delete(sessionUlid);
        });
      ahead.set(sessionUlid, started);
      await started;
    },
    async handOver(sessionUlid) {
      await ahead.get(sessionUlid);
      ahead.delete(sessionUlid);
    },
    async stop() {
      stopped = true;
      await Promise.all(ahead.values());
    },
  };
}
