import { createHash } from "node:crypto";
import { link, lstat, mkdir, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { HostInboxRow, Inspection, SessionRow } from "../store/rows.ts";
import type { HostDeps } from "./deps.ts";
import { runnerDirectory } from "./runner-paths.ts";
import { workspacePlan } from "./workspace-plan.ts";

/** Files looked at when sizes are added up: a tree of dependencies may have a million. */
const mostFiles = 200_000;

/** Everything of a session's on this host, by what it is. Its worktree only if Baton made it: never the repository itself. */
function places(deps: HostDeps, session: SessionRow): { worktree: string | null; runners: string; agent: string } {
  const made = join(deps.config.home, "worktrees", session.sessionUlid);
  return {
    worktree: session.worktreePath === made && session.repositoryPath !== made ? made : null,
    runners: runnerDirectory(deps.config, session.sessionUlid),
    agent: join(deps.config.home, "agents", session.sessionUlid),
  };
}

/** Tells whoever asked what the session has here, and what of it is nowhere else. */
export async function inspectSession(deps: HostDeps, row: HostInboxRow): Promise<void> {
  const { inspectionId } = row.body as { inspectionId: string };
  const session = await deps.store.sessions.get(row.sessionUlid);
  if (!session) return;
  const { worktree, runners, agent } = places(deps, session);
  const count = { left: mostFiles };
  const bytes = { worktree: worktree ? await sizeOf(worktree, count) : 0, runners: await sizeOf(runners, count), agent: await sizeOf(agent, count) };
  await deps.store.purge.tell(inspectionId, { bytes, ...(worktree ? await inRepository(deps, session) : { refs: 0, unmerged: null }) });
}

async function inRepository(deps: HostDeps, session: SessionRow): Promise<Omit<Inspection, "bytes">> {
  try {
    return await deps.workspaces.inspect({ plan: workspacePlan(session), candidate: session.candidate?.commit ?? null });
  } catch (error) {
    // Whatever git cannot read may hold work.
    return { refs: 0, unmerged: null, problem: (error as Error).message };
  }
}

const running = new Map<string, Promise<void>>();

/** One at a time for a session, however many asked. */
export function purgeOnce(deps: HostDeps, sessionUlid: string): Promise<void> {
  const now = running.get(sessionUlid) ?? purgeSession(deps, sessionUlid).finally(() => running.delete(sessionUlid));
  running.set(sessionUlid, now);
  return now;
}

/** Deletes what the session's row says is to go: files, then records, then it is said. Killed anywhere, it is done again from the start. */
async function purgeSession(deps: HostDeps, sessionUlid: string): Promise<void> {
  const session = await deps.store.sessions.get(sessionUlid);
  if (!session?.purge || session.purgedAt !== null) return;
  const found = session.purge.deleteFiles ? await deleteFiles(deps, session) : { transcriptPath: await writeTranscript(deps, session) };
  await deps.stopPoint("purge.files");
  while (await deps.store.purge.eraseSome(sessionUlid)) await deps.stopPoint("purge.records");
  await deps.store.purge.finish(sessionUlid, found);
}

async function deleteFiles(deps: HostDeps, session: SessionRow): Promise<{ snapshot: string | null; kept?: string[] }> {
  const { worktree, runners, agent } = places(deps, session);
  const done = worktree ? await dropWorkspace(deps, session) : { snapshot: null, kept: [`${session.worktreePath}: it is not Baton's to delete`] };
  for (const path of [runners, agent]) await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  return done;
}

async function dropWorkspace(deps: HostDeps, session: SessionRow): Promise<{ snapshot: string | null; kept?: string[] }> {
  const at = session.purge?.at ?? session.createdAt;
  const { snapshots, branchKept, leftAt } = await deps.workspaces.purge({ plan: workspacePlan(session), candidate: session.candidate?.commit ?? null, at });
  const [snapshot = null, ...others] = snapshots;
  const kept = [
    ...others.map((ref) => `${ref}: it was not merged either`),
    ...(branchKept ? [`branch ${session.branchName}: it is checked out elsewhere, or no ref says any more that Baton made it`] : []),
    ...(leftAt === null ? [] : [`${leftAt}: what the worktree held, because git could not keep all of it`]),
  ];
  return { snapshot, ...(kept.length > 0 ? { kept } : {}) };
}

/** The session's record as lines of JSON (itself, its inputs, its events), for whoever wants it later. Whole or not there. */
async function writeTranscript(deps: HostDeps, session: SessionRow): Promise<string> {
  const directory = join(deps.config.home, "transcripts");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `${session.sessionUlid}.jsonl`);
  const draft = `${path}.${createHash("sha256").update(deps.owner).digest("hex").slice(0, 8)}`;
  // Some of the records may be gone already: they go after the file is there.
  if ((await lstat(path).catch(() => null)) !== null) return path;
  const file = await open(draft, "w", 0o600);
  try {
    const line = (value: unknown) => file.write(`${JSON.stringify(value)}\n`);
    const { args: _args, ...about } = session;
    await line({ session: about });
    for (let after = ""; ;) {
      const inputs = await deps.store.inputs.after(session.sessionUlid, after, 50);
      for (const input of inputs) await line({ input });
      if (inputs.length === 0) break;
      after = inputs.at(-1)?.inputId ?? after;
    }
    for (let sinceSeq = 0; ;) {
      const page = await deps.store.pages.read({ sessionUlid: session.sessionUlid }, { sinceSeq, limit: 500, textMost: 4_194_304, most: 8_388_608 });
      for (const event of page?.events ?? []) await line({ event });
      const last = page?.events.at(-1)?.seq;
      if (last === undefined) break;
      sinceSeq = last;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  // Create-only: of two writers the first had read it all before anybody began to delete.
  await link(draft, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await rm(draft, { force: true });
  return path;
}

/** Bytes of all files below a path. */
async function sizeOf(path: string, count: { left: number }): Promise<number> {
  const found = await lstat(path).catch(() => null);
  if (found === null || (count.left -= 1) < 0) return 0;
  if (!found.isDirectory()) return found.size;
  let sum = 0;
  for (const name of await readdir(path).catch(() => [])) sum += await sizeOf(join(path, name), count);
  return sum;
}
