import { BatonError } from "../contracts/failures.ts";
import type { SessionRow } from "../store/rows.ts";
import { bootstrap } from "./bootstrap.ts";
import type { HostDeps } from "./deps.ts";
import { restorePlan, workspacePlan } from "./workspace-plan.ts";

export interface Made {
  path: string;
  head: string;
}

/** Makes sessions' workspaces, some of them before they are asked for. */
export interface WorkspaceMaker {
  /** Errors: BatonError for what git refuses, Error for what may pass. */
  make(session: SessionRow): Promise<Made>;
  /** A hint that `make` will be asked for: begins at once, says nothing, may be wrong. */
  expect(sessionUlid: string): Promise<void>;
}

/** How long one that was made ahead waits for whoever asks. */
const keptMs = 30_000;

export function workspaceMaker(deps: HostDeps): WorkspaceMaker {
  /** made, or being made, ahead; each is handed out once, so that nobody is told of a workspace that has gone since */
  const ahead = new Map<string, Promise<Made>>();

  async function prepare(session: SessionRow): Promise<Made> {
    const made = await deps.workspaces.prepare({ ...(await restorePlan(deps, session)), baseRef: await baseOf(session) });
    await bootstrap(deps, session);
    await deps.store.sessions.workspaceReady(session.sessionUlid, { ...made, branch: session.branchName });
    return made;
  }

  /** An agent's launch begins with the tree of its agent as it is now; when that cannot be had, with the candidate that the door wrote down. */
  async function baseOf(session: SessionRow): Promise<string> {
    const from = session.args["baseOf"];
    const source = typeof from === "string" && session.headAtStart === null ? await deps.store.sessions.get(from) : null;
    if (source?.headAtStart == null || source.hostId !== session.hostId) return session.baseRef;
    try {
      const tree = { plan: workspacePlan(source), base: source.headAtStart, turnId: `base-${session.sessionUlid}`, attempt: 1, at: session.createdAt };
      return (await deps.workspaces.capture(tree)).commit;
    } catch (error) {
      deps.log.warn(
        { sessionUlid: session.sessionUlid, from, error: String(error) },
        "the launching agent's tree could not be captured; its last candidate is the base",
      );
      return session.baseRef;
    }
  }

  return {
    make(session) {
      const expected = ahead.get(session.sessionUlid);
      ahead.delete(session.sessionUlid);
      return expected ?? prepare(session);
    },
    async expect(sessionUlid) {
      const session = await deps.store.sessions.get(sessionUlid);
      if (!session || session.closedAt !== null || session.workspace !== "pending" || ahead.has(sessionUlid)) return;
      const made = prepare(session);
      ahead.set(sessionUlid, made);
      const forget = (): void => {
        if (ahead.get(sessionUlid) === made) ahead.delete(sessionUlid);
      };
      try {
        await made;
        setTimeout(forget, keptMs).unref();
      } catch (error) {
        // The activity that asks tries again by itself, and is the one that reports.
        forget();
        if (!(error instanceof BatonError)) deps.log.warn({ sessionUlid, error: String(error) }, "a workspace could not be prepared ahead of its turn");
      }
    },
  };
}
