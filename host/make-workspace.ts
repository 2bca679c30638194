import { BatonError } from "../contracts/failures.ts";
import type { SessionRow } from "../store/rows.ts";
import type { HostDeps } from "./deps.ts";
import { workspacePlan } from "./workspace-plan.ts";

export interface Made {
  path: string;
  head: string;
}

/** Makes sessions' workspaces; who asks while one is being made gets the same one. */
export interface WorkspaceMaker {
  /** Errors: BatonError for what git refuses, Error for what may pass. */
  make(session: SessionRow): Promise<Made>;
  /** A hint that `make` will be asked for: begins at once, says nothing, may be wrong. */
  expect(sessionUlid: string): Promise<void>;
}

/** How long a finished one is remembered for the activity that will ask for it. */
const rememberMs = 30_000;

export function workspaceMaker(deps: HostDeps): WorkspaceMaker {
  const making = new Map<string, Promise<Made>>();

  function make(session: SessionRow): Promise<Made> {
    const known = making.get(session.sessionUlid);
    if (known) return known;
    const made = prepare(session);
    making.set(session.sessionUlid, made);
    const forget = (): void => {
      if (making.get(session.sessionUlid) === made) making.delete(session.sessionUlid);
    };
    // A failure is forgotten at once: the activity tries again by itself, and is the one that reports.
    made.then(() => setTimeout(forget, rememberMs).unref(), forget);
    return made;
  }

  async function prepare(session: SessionRow): Promise<Made> {
    const made = await deps.workspaces.prepare(workspacePlan(session));
    await deps.store.sessions.workspaceReady(session.sessionUlid, { ...made, branch: session.branchName });
    return made;
  }

  return {
    make,
    async expect(sessionUlid) {
      const session = await deps.store.sessions.get(sessionUlid);
      if (!session || session.closedAt !== null || session.workspace !== "pending") return;
      await make(session).catch((error: unknown) => {
        if (!(error instanceof BatonError)) deps.log.warn({ sessionUlid, error: String(error) }, "a workspace could not be prepared ahead of its turn");
      });
    },
  };
}
