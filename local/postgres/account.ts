import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, realpathSync, statSync, symlinkSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

/** How Postgres is run: it refuses to be root, so root lends it another identity. */
export interface Account {
  /** what stands before the command line */
  prefix: string[];
  /** given to `spawn`, and owner of the data directory */
  ids: { uid: number; gid: number } | undefined;
  /** where the data really is (a symbolic link leads here, if it had to move) */
  dataDir: string;
}

const nobody = 65_534;

/**
 * Chooses the identity and the place for a data directory. In order: as we are (not root); as nobody; as nobody of a
 * user namespace that is really root (no directory has to be opened to others); as nobody after Baton's own home was made
 * enterable (0711: enter, not list); with the data under /var/lib and a link to it. Error: none of them is possible.
 */
export function chooseAccount(wantedDir: string, log: (line: string) => void): Account {
  mkdirSync(dirname(wantedDir), { recursive: true, mode: 0o700 });
  const dataDir = realPlace(wantedDir, log);
  if (process.getuid?.() !== 0) return { prefix: [], ids: undefined, dataDir };
  const asNobody = { prefix: [], ids: { uid: nobody, gid: nobody }, dataDir };
  const closed = closedAncestors(dataDir);
  if (closed.length === 0) return asNobody;
  const namespace = ["unshare", "--user", `--map-user=${nobody}`, `--map-group=${nobody}`, "--"];
  if (spawnSync(namespace[0]!, [...namespace.slice(1), "true"]).status === 0) return { prefix: namespace, ids: undefined, dataDir };
  if (closed.length === 1 && closed[0] === dirname(dataDir)) {
    chmodSync(dirname(dataDir), 0o711);
    return asNobody;
  }
  if (existsSync(dataDir))
    throw new Error(
      `Postgres cannot run as nobody in ${dataDir} (${closed[0]} is closed to others, and user namespaces are off here). Set BATON_HOME to a directory that others may enter, or DATABASE_URL.`,
    );
  const elsewhere = freeName(dataDir, log);
  mkdirSync(root, { recursive: true, mode: 0o711 });
  symlinkSync(elsewhere, dataDir);
  log(`${closed[0]} is closed to other users: Postgres keeps its data in ${elsewhere}`);
  return { ...asNobody, dataDir: elsewhere };
}

const root = "/var/lib/baton";

/** Where the data of a home go that has none yet. What is there already belongs to a home that was removed, and has another password: it is never touched. */
function freeName(dataDir: string, log: (line: string) => void): string {
  const first = join(root, createHash("sha256").update(dataDir).digest("hex").slice(0, 12));
  for (let n = 1; ; n += 1) {
    const name = n === 1 ? first : `${first}-${n}`;
    if (!existsSync(name)) return name;
    log(`${name} has the data of a former home at this place; they stay there, and this home gets new ones`);
  }
}

/** Where the data directory really is: itself, or behind our link. A link of ours that leads nowhere is kept, and the data are made anew. */
function realPlace(wantedDir: string, log: (line: string) => void): string {
  if (existsSync(wantedDir)) return realpathSync(wantedDir);
  const place = join(realpathSync(dirname(wantedDir)), basename(wantedDir));
  const link = lstatSync(place, { throwIfNoEntry: false });
  if (link?.isSymbolicLink() !== true) return place;
  const target = resolve(dirname(place), readlinkSync(place));
  log(`THE DATA ARE GONE: ${place} leads to ${target}, which is not there any more. An empty database is made there.`);
  mkdirSync(dirname(target), { recursive: true, mode: 0o711 });
  return join(realpathSync(dirname(target)), basename(target));
}

/** The directories above `path` that other users cannot enter, nearest first. */
export function closedAncestors(path: string): string[] {
  const closed: string[] = [];
  for (let at = dirname(path); ; at = dirname(at)) {
    if ((statSync(at).mode & 0o001) === 0) closed.push(at);
    if (at === dirname(at)) return closed;
  }
}

/** Gives a tree to the account (back to us where it needs none): the way of running may differ from the last start's. */
export function giveTo(account: Account, path: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = account.ids ?? { uid: 0, gid: 0 };
  const found = lstatSync(path);
  if (found.uid !== uid) {
    chownTree(path, uid, gid);
    return;
  }
  // A chown that was cut short left the root for last, so an owned root means an owned tree.
}

function chownTree(path: string, uid: number, gid: number): void {
  const found = lstatSync(path);
  if (found.isDirectory()) for (const name of readdirSync(path)) chownTree(join(path, name), uid, gid);
  if (!found.isSymbolicLink()) chownSync(path, uid, gid);
}
