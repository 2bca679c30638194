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
  /** Resolves when nothing is being made for the session (any more): before its workspace is taken away. */
  settled(sessionUlid: string): Promise<void>;
}

/** How long one that was made ahead waits for whoever asks. */
const keptMs = 30_000;

export function workspaceMaker(deps: HostDeps): WorkspaceMaker {
  /** being made, or made ahead; each is forgotten when somebody had it, so that nobody is told of a workspace that has gone since */
  const making = new Map<string, Promise<Made>>();

  function begin(session: SessionRow): Promise<Made> {
    const made = prepare(session);
    making.set(session.sessionUlid, made);
    return made;
  }

  function forget(sessionUlid: string, made: Promise<Made>): void {
    if (making.get(sessionUlid) === made) making.delete(sessionUlid);
  }

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
    async make(session) {
      // One at a time for a session: a turn that was aborted leaves one behind that is still at work.
      const made = making.get(session.sessionUlid) ?? begin(session);
      try {
        return await made;
      } finally {
        forget(session.sessionUlid, made);
      }
    },
    async settled(sessionUlid) {
      await making.get(sessionUlid)?.catch(() => undefined);
    },
    async expect(sessionUlid) {
      const session = await deps.store.sessions.get(sessionUlid);
      if (!session || session.closedAt !== null || session.workspace !== "pending" || making.has(sessionUlid)) return;
      const made = begin(session);
      try {
        await made;
        setTimeout(forget, keptMs, sessionUlid, made).unref();
      } catch (error) {
        forget(sessionUlid, made);
        // The turn that asks tries again by itself, and is the one that reports.
        if (!(error instanceof BatonError)) deps.log.warn({ sessionUlid, error: String(error) }, "a workspace could not be prepared ahead of its turn");
      }
    },
  };
}
