import { createHash, randomUUID } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Git } from "./git.ts";

/** One setting of a repository: key as git prints it (section and name in lower case), value. */
export type Setting = [key: string, value: string];

/** What may matter to how files become blobs. All else in a repository's config is not for us. */
const kept =
  /^(?:core\.(?:autocrlf|eol|safecrlf|filemode|symlinks|ignorecase|precomposeunicode|excludesfile|attributesfile|bigfilethreshold|checkstat|trustctime)|extensions\.objectformat|filter\..+\.(?:clean|smudge|process|required))$/s;

/**
 * The settings that the operator had before the first agent ran: recorded at the first use of the repository under
 * `<home>/git-baseline/`, never updated (an operator who changed a filter removes the file). What an agent plants later is not in it.
 */
export async function readBaseline(git: Git, home: string, commonDir: string): Promise<Setting[]> {
  const folder = join(home, "git-baseline");
  const file = join(folder, `${createHash("sha256").update(commonDir).digest("hex").slice(0, 32)}.json`);
  const stored = await readStored(file);
  if (stored) return stored;

  const listed = await git.run(["config", "--local", "--includes", "--null", "--list"], { cwd: commonDir, env: { GIT_DIR: commonDir } });
  const settings = listed
    .split("\0")
    .filter((s) => s !== "")
    .map((s): Setting => {
      const end = s.indexOf("\n");
      return end < 0 ? [s, "true"] : [s.slice(0, end), s.slice(end + 1)];
    })
    .filter(([key]) => kept.test(key));

  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify({ commonDir, settings }, null, 1), { mode: 0o600, flush: true });
  try {
    await link(draft, file); // create-only and whole: of two first users one wins, a killed one leaves no half file
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await rm(draft, { force: true });
  }
  return (await readStored(file)) ?? settings;
}

async function readStored(file: string): Promise<Setting[] | null> {
  try {
    return (JSON.parse(await readFile(file, "utf8")) as { settings: Setting[] }).settings;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
