import { randomBytes } from "node:crypto";
import { chmodSync, linkSync, mkdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Baton's home: everything of one installation. Absolute paths. */
export interface Home {
  path: string;
  logs: string;
  tokenFile: string;
  runFile: string;
  postgresData: string;
  postgresPassword: string;
  temporalDb: string;
}

/** Makes the home (0700) with its token and its database password, or finds them as they are. Error: a sentence that says what to do. */
export function prepareHome(wanted: string): Home {
  const path = homeDirectory(wanted);
  chmodSync(path, 0o700);
  const logs = join(path, "logs");
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  const tokenFile = join(path, "token");
  secret(tokenFile);
  return {
    path,
    logs,
    tokenFile,
    runFile: join(path, "run.json"),
    postgresData: join(path, "postgres"),
    postgresPassword: secret(join(path, "postgres-password")),
    temporalDb: join(path, "temporal.db"),
  };
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
function secret(file: string): string {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${randomBytes(32).toString("base64url")}\n`, { mode: 0o600, flush: true });
  try {
    linkSync(draft, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  rmSync(draft, { force: true });
  return readFileSync(file, "utf8").trim();
}
