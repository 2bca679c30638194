import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, linkSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Baton's home: everything of one installation. Absolute paths. */
export interface Home {
  path: string;
  logs: string;
  tokenFile: string;
  runFile: string;
  postgresData: string;
  /** a file, as `tokenFile` */
  postgresPassword: string;
  temporalDb: string;
}

/** The home's paths; the directory is made (0700) when it is not there, and nothing in it is touched. Error: a sentence that says what to do. */
export function openHome(wanted: string): Home {
  const path = homeDirectory(wanted);
  refuseStrangers(path);
  return {
    path,
    logs: join(path, "logs"),
    tokenFile: join(path, "token"),
    runFile: join(path, "run.json"),
    postgresData: join(path, "postgres"),
    postgresPassword: join(path, "postgres-password"),
    temporalDb: join(path, "temporal.db"),
  };
}

/** Makes the home ours alone (0700), with its token and its database password; or finds them as they are. */
export function fillHome(home: Home): void {
  chmodSync(home.path, 0o700);
  mkdirSync(home.logs, { recursive: true, mode: 0o700 });
  secret(home.tokenFile);
  secret(home.postgresPassword);
}

/** What may be in a home before its first start. */
const expected = new Set(["agents", "capabilities", "presets", "lock", "lost+found"]);

/** A directory that is somebody's for something else must not become private by a slip in BATON_HOME. One with a token is a home. */
function refuseStrangers(path: string): void {
  if ((statSync(path).mode & 0o077) === 0 || existsSync(join(path, "token"))) return;
  const strange = readdirSync(path).find((name) => !expected.has(name));
  if (strange === undefined) return;
  throw new Error(
    `${path} is open to other users and has something in it that is not Baton's (${strange}). Set BATON_HOME to a directory of Baton's own; or, if this is to be it, run: chmod 700 '${path}'`,
  );
}

function homeDirectory(wanted: string): string {
  try {
    mkdirSync(wanted, { recursive: true, mode: 0o700 });
    return realpathSync(wanted);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === "EEXIST" || code === "ENOTDIR" ? "something that is no directory is there" : message;
    throw new Error(`Baton's home ${wanted} cannot be made: ${why}. Set BATON_HOME to a directory of your own, or to a path where one can be made.`, {
      cause: error,
    });
  }
}

/** A 256-bit secret in a file (0600), made once. Linked into place whole: neither a crash nor a second start leaves half a secret. */
function secret(file: string): void {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600, flush: true });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  rmSync(draft, { force: true });
}
