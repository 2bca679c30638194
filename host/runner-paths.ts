import { createHash } from "node:crypto";
import { lstat, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Config } from "../contracts/config.schema.ts";

/** Everything that one session's runners leave: epoch, spools, raw logs. */
export const runnerDirectory = (config: Config, sessionUlid: string): string => join(config.home, "runners", sessionUlid);

export const spoolPath = (directory: string, runnerId: string): string => join(directory, `spool-${runnerId}.ndjson`);

/** Socket paths above ~100 bytes are silently cut by the kernel, and a home may be deep: sockets live in a short directory of their own. */
export function socketDirectory(config: Config, uid: number): string {
  const home = createHash("sha256").update(`${config.home}\n${config.instance}`).digest("hex").slice(0, 10);
  return `/tmp/baton-${uid}-${home}`;
}

/** Makes the directory; another user may have made one of this name before us under /tmp: then nothing of ours goes into it. */
export async function prepareSocketDirectory(config: Config, uid: number): Promise<void> {
  const directory = socketDirectory(config, uid);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const found = await lstat(directory);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0)
    throw new Error(`${directory} is not a directory of this user alone (0700): remove it.`);
}

export const socketPath = (config: Config, uid: number, runnerId: string): string => join(socketDirectory(config, uid), `${runnerId}.sock`);
