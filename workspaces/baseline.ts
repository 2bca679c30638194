import { createHash, randomUUID } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { devNull } from "node:os";
import { join } from "node:path";
import type { Git } from "./git.ts";

/** One setting of a repository: key as git prints it (section and name in lower case), value. */
export type Setting = [key: string, value: string];

/** What may matter to how files become blobs. All else in a repository's config is not for us. */
const kept =
  /^(?:core\.(?:autocrlf|eol|filemode|symlinks|ignorecase|precomposeunicode|excludesfile|attributesfile|bigfilethreshold|checkstat|trustctime)|extensions\.objectformat|filter\..+\.(?:clean|smudge|process|required))$/s;

/** What the operator had set up for a repository before the first agent ran. */
export interface Baseline {
  settings: Setting[];
  /** the files in `info/` that say what is ignored and filtered, as latin1 (any byte is kept); null: there was none */ info: Record<InfoFile, string | null>;
  /** git-lfs is one of the filters, here or in the operator's own config: it keeps the files' content beside the objects */ lfs: boolean;
}
type InfoFile = (typeof infoFiles)[number];
export const infoFiles = ["exclude", "attributes"] as const;

/**
 * Recorded at the first use of the repository under `<home>/git-baseline/`, never updated (an operator who changed a filter or `info/exclude`
 * removes the files). What an agent plants later is not in it.
 */
export async function readBaseline(git: Git, home: string, commonDir: string): Promise<Baseline> {
  const name = createHash("sha256").update(commonDir).digest("hex").slice(0, 32);
  // Two files: homes that are older than the second have the first.
  const [{ settings }, { info }, globally] = await Promise.all([
    recorded(join(home, "git-baseline"), `${name}.json`, async () => ({ commonDir, settings: await readSettings(git, commonDir) })),
    recorded(join(home, "git-baseline"), `${name}.info.json`, async () => ({ commonDir, info: await readInfo(commonDir) })),
    hasGlobalLfs(git, home),
  ]);
  return { settings, info, lfs: globally || settings.some(([key]) => key.startsWith("filter.lfs.")) };
}

const globalLfs = new WeakMap<Git, boolean>();

/** Asked once: what every view sees of the operator's config, without a repository's. */
async function hasGlobalLfs(git: Git, home: string): Promise<boolean> {
  const known = globalLfs.get(git);
  if (known !== undefined) return known;
  const { code } = await git.try(["config", "--get-regexp", "^filter\\.lfs\\."], { cwd: home, env: { GIT_DIR: devNull } });
  globalLfs.set(git, code === 0);
  return code === 0;
}

async function readInfo(commonDir: string): Promise<Baseline["info"]> {
  const read = (name: InfoFile): Promise<string | null> =>
    readFile(join(commonDir, "info", name), "latin1").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
      throw error;
    });
  return { exclude: await read("exclude"), attributes: await read("attributes") };
}

async function readSettings(git: Git, commonDir: string): Promise<Setting[]> {
  const listed = await git.run(["config", "--local", "--includes", "--null", "--list"], { cwd: commonDir, env: { GIT_DIR: commonDir } });
  return listed
    .split("\0")
    .filter((s) => s !== "")
    .map((s): Setting => {
      const end = s.indexOf("\n");
      return end < 0 ? [s, "true"] : [s.slice(0, end), s.slice(end + 1)];
    })
    .filter(([key]) => kept.test(key));
}

/** What the file holds; at the first time what `read` gives now. */
async function recorded<T extends object>(folder: string, name: string, read: () => Promise<T>): Promise<T> {
  const file = join(folder, name);
  const stored = await readStored<T>(file);
  if (stored) return stored;
  const now = await read();
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify(now, null, 1), { mode: 0o600, flush: true });
  try {
    await link(draft, file); // create-only and whole: of two first users one wins, a killed one leaves no half file
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return (await readStored<T>(file)) ?? now;
}

async function readStored<T>(file: string): Promise<T | null> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
