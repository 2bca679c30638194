import { randomUUID } from "node:crypto";
import { mkdir, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Baseline, infoFiles, type Setting } from "./baseline.ts";
import type { GitOptions } from "./git.ts";
import type { Repository } from "./repository.ts";

/** A way to see a work tree without the repository's own config. */
export interface View {
  /** options for a git command on the work tree, with this index (default: the view's own, empty at first) */
  on(index?: string): GitOptions;
  /** The same for a repository inside the work tree. It is none of the operator's: no settings, and nothing is written to its objects. */
  inside<T>(workTree: string, commonDir: string, body: (view: View) => Promise<T>): Promise<T>;
}

const folderOf = (home: string): string => join(home, "git-views");

/**
 * Gives `body` a throw-away git directory whose config is only the operator's recorded settings, over the repository's objects.
 * All that turns files into blobs or back runs here: a filter planted in the shared `.git/config` does not exist for it,
 * not even one planted while the command runs, which overriding the filters found a moment ago could not promise.
 */
export async function withView<T>(home: string, repository: Repository, baseline: Baseline, workTree: string, body: (view: View) => Promise<T>): Promise<T> {
  return inThrowAway(home, baseline.settings, async (dir) => {
    // Not the repository's own of today: it is shared, and an agent that wrote "*" there would make every session's new files vanish.
    for (const name of infoFiles) {
      const text = baseline.info[name];
      if (text !== null) await writeFile(join(dir, "info", name), text, "latin1");
    }
    if (baseline.lfs) await linkLfs(repository, dir);
    return body(viewAt(home, dir, workTree, join(repository.commonDir, "objects")));
  });
}

/** What git-lfs stores below the git directory it is told must outlive the view, and what it stored before must be found. */
async function linkLfs(repository: Repository, dir: string): Promise<void> {
  const store = join(repository.commonDir, "lfs");
  await mkdir(store, { recursive: true });
  await symlink(store, join(dir, "lfs"));
}

function viewAt(home: string, dir: string, workTree: string, objects: string): View {
  const env = { GIT_DIR: dir, GIT_WORK_TREE: workTree, GIT_OBJECT_DIRECTORY: objects };
  return {
    on: (index = join(dir, "index")) => ({ cwd: workTree, env: { ...env, GIT_INDEX_FILE: index } }),
    inside: (path, commonDir, body) =>
      inThrowAway(home, [], async (inner) => {
        await mkdir(join(inner, "objects", "info"));
        await writeFile(join(inner, "objects", "info", "alternates"), `${join(commonDir, "objects")}\n`);
        return body(viewAt(home, inner, path, join(inner, "objects")));
      }),
  };
}

async function inThrowAway<T>(home: string, settings: readonly Setting[], body: (dir: string) => Promise<T>): Promise<T> {
  const dir = join(folderOf(home), randomUUID());
  await mkdir(join(dir, "refs"), { recursive: true, mode: 0o700 });
  await mkdir(join(dir, "objects"));
  await mkdir(join(dir, "info"));
  try {
    await writeFile(join(dir, "HEAD"), "ref: refs/heads/none\n");
    await writeFile(join(dir, "config"), configText(settings));
    return await body(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Removes views that a killed process left more than an hour ago. */
export async function sweepViews(home: string): Promise<void> {
  for (const name of await readdir(folderOf(home)).catch(() => [])) {
    const dir = join(folderOf(home), name);
    const made = await stat(dir).catch(() => null);
    if (made && Date.now() - made.mtimeMs > 3_600_000) await rm(dir, { recursive: true, force: true });
  }
}

function configText(settings: readonly Setting[]): string {
  const sha256 = settings.some(([key]) => key === "extensions.objectformat");
  const lines = ["[core]", `\trepositoryformatversion = ${sha256 ? 1 : 0}`, "\tbare = false", "\tlogallrefupdates = false"];
  for (const [key, value] of settings) {
    const first = key.indexOf("."),
      last = key.lastIndexOf(".");
    const sub = first === last ? "" : ` "${escape(key.slice(first + 1, last))}"`;
    lines.push(`[${key.slice(0, first)}${sub}]`, `\t${key.slice(last + 1)} = "${escape(value).replaceAll("\n", "\\n").replaceAll("\t", "\\t")}"`);
  }
  return `${lines.join("\n")}\n`;
}

const escape = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
