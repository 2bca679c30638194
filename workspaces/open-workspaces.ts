import { mkdir, realpath, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { BatonError } from "../contracts/failures.ts";
import type { WorkspacePlan, Workspaces } from "../contracts/workspaces.ts";
import { readBaseline } from "./baseline.ts";
import { makeCandidate } from "./candidate.ts";
import { changedFiles, unifiedDiff } from "./diff.ts";
import { openGit } from "./git.ts";
import { checkObjectId, checkPlan, checkRefPart, checkRevision, checkTreePath, inPlace } from "./names.ts";
import { isEmpty } from "./on-disk.ts";
import { dropRefs, holdings, type Holdings, keepUnmerged } from "./purge.ts";
import { createSerialize } from "./repository-lock.ts";
import { gitDirOf, inRepository, repositoryFinder, resolveCommit, treeOf, type Repository } from "./repository.ts";
import { snapshotIfDirty } from "./snapshot.ts";
import { readTree } from "./tree.ts";
import { sweepViews, withView, type View } from "./view.ts";
import {
  addWorktree,
  dropWorktree,
  findWorktree,
  forgetStart,
  headOf,
  isReady,
  keepAside,
  populate,
  reserveStart,
  resolveStart,
  setAside,
  treeToRestore,
} from "./worktree.ts";

export interface WorkspacesOptions {
  /** Baton's home, absolute: worktrees must lie below it */
  home: string;
  /** where PATH, HOME, XDG_CONFIG_HOME for git come from; default: the usual system folders and the user's home */
  environment?: Record<string, string | undefined>;
}

/** Git on this host. Errors: BatonError for what a caller can mend, plain Error with git's words for what may pass. */
export function openWorkspaces(options: WorkspacesOptions): Workspaces {
  const { home } = options;
  const git = openGit(options.environment ?? { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/bin", HOME: homedir() });
  const findRepository = repositoryFinder(git);
  const serialize = createSerialize();
  void sweepViews(home).catch(() => {}); // junk only: the next start tries again

  async function repositoryOf(plan: WorkspacePlan): Promise<Repository> {
    await mkdir(home, { recursive: true, mode: 0o700 });
    await checkPlan(home, plan);
    return findRepository(plan.repositoryPath);
  }

  /** No repository at the plan's path any more, as far as the file system can say: one that git cannot read is still there. */
  async function isGone(plan: WorkspacePlan): Promise<boolean> {
    await mkdir(home, { recursive: true, mode: 0o700 });
    await checkPlan(home, plan);
    if (inPlace(plan)) return false;
    return realpath(plan.repositoryPath).then(
      () => false,
      (error: NodeJS.ErrnoException) => error.code === "ENOENT",
    );
  }

  async function viewOf<T>(repository: Repository, workTree: string, body: (view: View) => Promise<T>): Promise<T> {
    return withView(home, repository, await readBaseline(git, home, repository.commonDir), workTree, body);
  }

  /** The git directory of the session's finished worktree. Error: CONFLICT_STATE when it is not there. */
  async function finished(repository: Repository, plan: WorkspacePlan): Promise<string> {
    if (inPlace(plan)) return gitDirOf(git, repository);
    const dir = await findWorktree(repository, plan.path);
    if (!dir || !(await isReady(dir, plan))) throw new BatonError("CONFLICT_STATE", `The worktree ${plan.path} is not there. It must be prepared first.`);
    return dir;
  }

  /** What the session has in its repository, with its worktree still for as long as `body` runs. Error: CONFLICT_STATE while something writes there. */
  async function looked<T>(
    plan: WorkspacePlan,
    candidate: string | null,
    body: (repository: Repository, found: Holdings, head: string | null) => Promise<T>,
  ): Promise<T> {
    if (candidate !== null) checkObjectId("candidate", candidate);
    const repository = await repositoryOf(plan);
    return serialize(plan.path, async () => {
      // In the repository itself nothing is taken away but Baton's own refs: nothing can be lost.
      if (inPlace(plan)) return body(repository, { ...(await holdings(git, repository, plan, null, null)), unmerged: null }, null);
      const dir = await findWorktree(repository, plan.path);
      let live: { head: string; tree: string; left: string[] } | null = null;
      if (dir && (await isReady(dir, plan))) {
        const head = await headOf(git, repository, dir, (await resolveStart(git, repository, plan)) ?? plan.baseRef);
        const reading = await viewOf(repository, plan.path, (view) => readTree(git, view, head, dir));
        if (!reading.stable) throw new BatonError("CONFLICT_STATE", `Something still writes in ${plan.path}. End what runs there, then repeat.`);
        live = { head, tree: reading.tree, left: reading.left };
      }
      return body(repository, await holdings(git, repository, plan, live, candidate), live?.head ?? null);
    });
  }

  return {
    async inspectRepository(repositoryPath) {
      const repository = await findRepository(repositoryPath);
      const head = await git.try(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], { cwd: repository.path });
      if (head.code !== 0)
        throw new BatonError(
          "INVALID_ARGUMENT",
          `${repository.path} has no commit yet. Make a first commit ("git commit --allow-empty -m start"), then repeat.`,
          { field: "repositoryPath" },
        );
      const branch = await git.try(["symbolic-ref", "--quiet", "--short", "HEAD"], { cwd: repository.path });
      await mkdir(home, { recursive: true, mode: 0o700 });
      await readBaseline(git, home, repository.commonDir); // as early as possible: before the first agent runs
      return { path: repository.path, headBranch: branch.code === 0 ? branch.stdout.toString("utf8").trim() : null, head: head.stdout.toString("utf8").trim() };
    },

    async prepare(plan) {
      const repository = await repositoryOf(plan);
      if (inPlace(plan)) {
        await readBaseline(git, home, repository.commonDir);
        return { path: plan.path, head: await resolveCommit(git, repository, "baseRef", plan.baseRef) };
      }
      // Per worktree: two tries of one session must not see each other's half. Per repository, inside: only the `add`.
      return serialize(plan.path, async () => {
        const known = await findWorktree(repository, plan.path);
        const { start, fresh, untouched } = await reserveStart(git, repository, plan);
        if (known && (await isReady(known, plan))) return { path: plan.path, head: start };
        await readBaseline(git, home, repository.commonDir);
        const dir = await serialize(repository.commonDir, () => addWorktree(git, repository, plan, start)).catch(async (error: unknown) => {
          if (fresh && error instanceof BatonError) await forgetStart(git, repository, plan);
          throw error;
        });
        const head = untouched ? start : await headOf(git, repository, dir, start);
        const restored = await treeToRestore(git, repository, plan, head);
        await viewOf(repository, plan.path, (view) => populate(git, view, dir, head, restored, plan.template));
        return { path: plan.path, head: start };
      });
    },

    async capture({ plan, base, turnId, attempt, at }) {
      checkRevision("base", base);
      checkRefPart("turnId", turnId);
      if (!Number.isInteger(attempt) || attempt < 0) throw new BatonError("INVALID_ARGUMENT", "attempt must be a whole number.", { field: "attempt" });
      const repository = await repositoryOf(plan);
      return serialize(plan.path, async () => {
        const dir = await finished(repository, plan);
        const baseCommit = await resolveCommit(git, repository, "base", base);
        const head = await headOf(git, repository, dir, baseCommit);
        const { tree, stable, left } = await viewOf(repository, plan.path, (view) => readTree(git, view, head, dir, inPlace(plan)));
        return { ...(await makeCandidate(git, repository, { sessionUlid: plan.sessionUlid, turnId, attempt, tree, base: baseCommit, at })), stable, left };
      });
    },

    async checkout({ plan, commit }) {
      checkObjectId("commit", commit);
      if (plan.branch !== null || inPlace(plan))
        throw new BatonError(
          "INVALID_ARGUMENT",
          `The worktree of ${plan.sessionUlid} is ${plan.branch === null ? "the repository itself" : `on the branch ${plan.branch}`}; only a detached one is moved.`,
          {
            field: "branch",
          },
        );
      const repository = await repositoryOf(plan);
      return serialize(plan.path, async () => {
        const dir = await finished(repository, plan);
        const target = await resolveCommit(git, repository, "commit", commit);
        const head = await headOf(git, repository, dir, target);
        await viewOf(repository, plan.path, async (view) => {
          await snapshotIfDirty(git, repository, view, plan, dir, head);
          const index = join(dir, "index");
          for (const left of [index, `${index}.lock`]) await rm(left, { force: true }); // entries that an agent marked as unchanged, a killed git's lock
          await git.run(["read-tree", head], view.on(index));
          await git.run(["read-tree", "--reset", "-u", target], view.on(index));
          await git.run(["clean", "-fdq"], view.on(index)); // not -ff: a repository inside is in no snapshot
        });
        // Last: a try that was killed above finds the old HEAD and does all of it again.
        await git.run(["update-ref", "--no-deref", "-m", "baton: candidate", "HEAD", target], {
          cwd: repository.commonDir,
          env: { GIT_DIR: dir, GIT_COMMON_DIR: repository.commonDir },
        });
        return { commit: target, tree: (await treeOf(git, repository, target)) ?? "" };
      });
    },

    async diff({ repositoryPath, from, to, path, maxBytes }) {
      checkRevision("from", from);
      checkRevision("to", to);
      if (path !== undefined) checkTreePath("path", path);
      const repository = await findRepository(repositoryPath);
      const trees = await Promise.all([from, to].map((revision) => treeOf(git, repository, revision)));
      const [a, b] = trees;
      if (!a || !b) throw new BatonError("INVALID_ARGUMENT", `"${a ? to : from}" names no commit or tree in ${repository.path}.`, { field: a ? "to" : "from" });
      const where = inRepository(repository);
      return { ...(await unifiedDiff(git, where, a, b, path, maxBytes)), files: await changedFiles(git, where, a, b, path) };
    },

    async inspect({ plan, candidate }) {
      if (await isGone(plan)) return { refs: 0, unmerged: (await isEmpty(plan.path)) ? null : "unknown: the repository cannot be read" };
      return looked(plan, candidate, async (_, found) => ({
        refs: found.refs.length + (found.branch === null ? 0 : 1),
        unmerged: found.unmerged?.stat ?? null,
      }));
    },

    async purge({ plan, candidate, at }) {
      if (await isGone(plan)) return { snapshots: [], branchKept: false, leftAt: await serialize(plan.path, () => setAside(plan.path)) };
      return looked(plan, candidate, async (repository, found, head) => {
        const snapshots = await keepUnmerged(git, repository, plan, found.unmerged, at);
        const drop = (): Promise<string | null> =>
          found.unmerged?.left.length && head !== null ? keepAside(git, repository, plan.path, head) : dropWorktree(repository, plan.path);
        const leftAt = inPlace(plan) ? null : await serialize(repository.commonDir, drop);
        // Again: only now is the branch not checked out in the worktree itself.
        await dropRefs(git, repository, plan, await holdings(git, repository, plan, null, null));
        return { snapshots, branchKept: plan.branch !== null && found.branch === null && found.tip !== null, leftAt };
      });
    },

    async remove(plan) {
      const repository = await repositoryOf(plan);
      // Not ours: nothing in it is ever deleted.
      if (inPlace(plan)) return { snapshot: null };
      return serialize(plan.path, async () => {
        const dir = await findWorktree(repository, plan.path);
        let snapshot: string | null = null;
        // Without its mark the worktree never was complete: nobody worked in it.
        if (dir && (await isReady(dir, plan))) {
          const { start } = await reserveStart(git, repository, plan);
          const head = await headOf(git, repository, dir, start);
          const kept = await viewOf(repository, plan.path, (view) => snapshotIfDirty(git, repository, view, plan, dir, head));
          snapshot = kept.ref;
          if (kept.left.length > 0) await serialize(repository.commonDir, () => keepAside(git, repository, plan.path, head));
        }
        await serialize(repository.commonDir, () => dropWorktree(repository, plan.path));
        return { snapshot };
      });
    },
  };
}
