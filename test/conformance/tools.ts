import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = join(import.meta.dirname, "tools");

/** A file of the official suite or of the inspector. */
export const toolFile = (path: string): string => join(folder, "node_modules/@modelcontextprotocol", path);

/** Installs both at their pinned versions, once for a lock file. Apart from our own packages: they bring a hundred that nobody else needs. Error: npm's. */
export function installTools(): void {
  const wanted = createHash("sha256")
    .update(readFileSync(join(folder, "package-lock.json")))
    .digest("hex");
  const stamp = join(folder, "node_modules", ".baton-stamp");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  process.stderr.write("Installing the official suite and the inspector (npm ci) …\n");
  const done = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: folder, stdio: ["ignore", 2, 2] });
  if (done.status !== 0) throw new Error(`npm ci failed in ${folder}${done.error ? `: ${done.error.message}` : ""}. Run the same command again.`);
  writeFileSync(stamp, wanted);
}
