import { createHash, randomBytes } from "node:crypto";
import { link, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { presetDirectory } from "./presets.ts";

/** A preset's file as it is now; null: there is none. */
export async function readPresetFile(home: string, key: string): Promise<string | null> {
  return readFile(fileOf(home, key), "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
}

/** Replaces a preset's file whole: a reader sees the former one or this one. The former one is kept in the history. */
export async function writePresetFile(home: string, key: string, body: Record<string, unknown>): Promise<void> {
  await keep(home, key);
  const draft = join(presetDirectory(home), `.${key}.${process.pid}.${randomBytes(4).toString("hex")}`);
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(`${JSON.stringify(body, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, fileOf(home, key));
    await synced(presetDirectory(home));
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

/** Removes a preset's file; it stays in the history. */
export async function removePresetFile(home: string, key: string): Promise<void> {
  await keep(home, key);
  await rm(fileOf(home, key), { force: true });
}

/** The highest revision that a file of this key ever had: a new one is above it, also after a deletion. 0: none. */
export async function lastRevision(home: string, key: string): Promise<number> {
  const names = await readdir(historyOf(home, key)).catch(() => []);
  return Math.max(0, ...names.map((name) => Number(/^(\d+)-/.exec(name)?.[1] ?? 0)));
}

/** A name is durable when its directory is. */
async function synced(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The bytes that are there go into the history under their revision; the hash tells an edit by hand from the revision it was made from. */
async function keep(home: string, key: string): Promise<void> {
  await mkdir(historyOf(home, key), { recursive: true, mode: 0o700 });
  const text = await readPresetFile(home, key);
  if (text === null) return;
  const name = `${revisionOf(text)}-${createHash("sha256").update(text).digest("hex").slice(0, 12)}.json`;
  await link(fileOf(home, key), join(historyOf(home, key), name)).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}

function revisionOf(text: string): number {
  try {
    const { revision } = JSON.parse(text) as { revision?: unknown };
    return typeof revision === "number" && Number.isSafeInteger(revision) && revision > 0 ? revision : 1;
  } catch {
    return 1;
  }
}

function fileOf(home: string, key: string): string {
  return join(presetDirectory(home), `${key}.json`);
}

function historyOf(home: string, key: string): string {
  return join(presetDirectory(home), ".history", key);
}
