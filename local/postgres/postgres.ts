import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, renameSync, rmSync, rmdirSync, writeFileSync, chownSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { type Account, chooseAccount, giveTo } from "./account.ts";
import { postgresBinaries } from "./binaries.ts";

export interface PostgresOptions {
  dataDir: string;
  /** 0: any free one. A Postgres that already runs on `dataDir` keeps its own. */
  port: number;
  /** scram-sha-256 when given (it counts when the data directory is made), else trust */
  password?: string;
  /** false: no fsync, for tests */
  durable?: boolean;
  /** ends with us even if we are killed (Linux with setpriv) */
  dieWithParent?: boolean;
  /** gives up the start; the server is gone then */
  aborted?: AbortSignal;
  /** gets the server's own lines */
  log?: (line: string) => void;
  /** gets what a person should know: data that lie elsewhere, or are gone; without it `log` does */
  say?: (line: string) => void;
}
const stopped = "stopped while it started";

export interface RunningPostgres {
  url: string;
  port: number;
  pid: number;
  stop(): Promise<void>;
  /** resolves when the server is gone, whatever the reason */ exited: Promise<void>;
}

/** Starts Postgres on 127.0.0.1 (or adopts the one that a former start left running on the directory) and waits until it accepts connections. Superuser `postgres`, database `postgres`. Error: with the server's last lines. */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const log = options.log ?? (() => {});
  const account = chooseAccount(options.dataDir, options.say ?? log);
  const bin = postgresBinaries(account);
  const running = await runningServer(account.dataDir);
  if (running) {
    const url = urlOf(running.port, options.password);
    await accepting(url, () => (alive(running.pid) ? null : "it ended"));
    return { url, ...running, stop: () => stopServer(running.pid), exited: gone(running.pid) };
  }
  if (!existsSync(join(account.dataDir, "PG_VERSION"))) await initialize(account, bin, options);
  giveTo(account, account.dataDir);
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await launch(account, bin, options, log);
    } catch (error) {
      // A free port can be taken between our look and the server's bind.
      if (options.port !== 0 || attempt === 3 || !/Address already in use/.test(String(error))) throw error;
    }
  }
}

async function launch(account: Account, bin: string, options: PostgresOptions, log: (line: string) => void): Promise<RunningPostgres> {
  const port = options.port === 0 ? await freePort() : options.port;
  const settings = [
    `port=${port}`,
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    ...(options.durable === false ? ["fsync=off", "full_page_writes=off"] : []),
  ];
  const command = [
    ...account.prefix,
    ...(options.dieWithParent ? dieWithParent(account) : []),
    join(bin, "postgres"),
    "-D",
    account.dataDir,
    ...settings.flatMap((setting) => ["-c", setting]),
  ];
  // Own session: the terminal's Ctrl-C goes to the whole group, and Postgres must be the last to stop. With setpriv the ids are switched there: a later switch of ids would clear the death signal.
  const child = spawn(command[0]!, command.slice(1), {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
    ...(options.dieWithParent && hasSetpriv() ? {} : account.ids),
  });
  let tail = "";
  let ended: string | null = null;
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    tail = (tail + text).slice(-4_000);
    for (const line of text.split("\n")) if (line) log(line);
  });
  const exited = new Promise<void>((resolve) => {
    child.on("error", (error) => {
      ended = error.message;
      resolve();
    });
    child.on("exit", (code, signal) => {
      ended = `it ended with ${signal ?? code}`;
      resolve();
    });
  });
  const url = urlOf(port, options.password);
  try {
    await accepting(url, () => ended ?? (options.aborted?.aborted === true ? stopped : null));
  } catch (error) {
    await stopServer(child.pid ?? 0, exited);
    throw new Error(`Postgres did not start: ${(error as Error).message}\n${tail.trim()}`);
  }
  const pid = child.pid!;
  return { url, port, pid, exited, stop: () => stopServer(pid, exited) };
}

/** `initdb` into a neighbour, renamed when complete: a kill in between leaves nothing that looks like a database. */
async function initialize(account: Account, bin: string, { password, aborted, ...options }: PostgresOptions): Promise<void> {
  const half = `${account.dataDir}.tmp`;
  const secret = `${account.dataDir}.pw`;
  rmSync(half, { recursive: true, force: true });
  if (existsSync(account.dataDir)) rmdirSync(account.dataDir); // empty, or not ours to replace
  mkdirSync(half, { mode: 0o700 });
  if (account.ids) chownSync(half, account.ids.uid, account.ids.gid);
  try {
    if (password !== undefined) {
      rmSync(secret, { force: true });
      writeFileSync(secret, `${password}\n`, { mode: 0o600 });
      if (account.ids) chownSync(secret, account.ids.uid, account.ids.gid);
    }
    const args = [
      "-D",
      half,
      "-U",
      "postgres",
      "-E",
      "UTF8",
      "--locale=C",
      "--locale-provider=builtin",
      "--builtin-locale=C.UTF-8",
      ...(password === undefined ? ["--auth=trust"] : ["--auth=scram-sha-256", `--pwfile=${secret}`]),
    ];
    const bound = options.dieWithParent ? dieWithParent(account) : [];
    const command = [...account.prefix, ...bound, join(bin, "initdb"), ...args];
    // Own session: a terminal's Ctrl-C is for us, who then end it and what it started. At INT it removes what it made.
    const child = spawn(command[0]!, command.slice(1), { detached: true, stdio: ["ignore", "ignore", "pipe"], ...(bound.length > 0 ? {} : account.ids) });
    const abort = (): void => {
      if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGINT");
    };
    aborted?.addEventListener("abort", abort, { once: true });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      errors = (errors + text).slice(-4_000);
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
      if (aborted?.aborted === true) abort();
    }).finally(() => aborted?.removeEventListener("abort", abort));
    if (aborted?.aborted === true) throw new Error(stopped);
    if (code !== 0) throw new Error(`initdb failed in ${half}: ${errors.trim()}`);
  } finally {
    rmSync(secret, { force: true });
  }
  chmodSync(half, 0o700);
  renameSync(half, account.dataDir);
}

/** The postmaster on this directory, if one lives. A pid file of a dead one is dropped even if another process has its number now; backends that outlive it for a moment are waited for. */
async function runningServer(dataDir: string): Promise<{ pid: number; port: number } | null> {
  const file = join(dataDir, "postmaster.pid");
  if (!existsSync(file)) return null;
  const lines = readFileSync(file, "utf8").split("\n");
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!existsSync("/proc/self/cwd")) return null; // Postgres's own check has to do
  for (let i = 0; i < 100; i += 1) {
    const inside = processesIn(dataDir);
    if (inside.includes(pid) && port > 0) return { pid, port };
    if (inside.length === 0) {
      rmSync(file, { force: true });
      return null;
    }
    await sleep(100);
  }
  throw new Error(`Processes of a former Postgres are still in ${dataDir}: ${processesIn(dataDir).join(", ")}`);
}

function processesIn(dataDir: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === dataDir;
      } catch {
        return false;
      }
    });
}

/** Fast shutdown, then without a checkpoint, then by force: the log recovers what was committed. */
async function stopServer(pid: number, exited: Promise<void> = gone(pid)): Promise<void> {
  for (const [signal, ms] of [
    ["SIGINT", 10_000],
    ["SIGQUIT", 5_000],
    ["SIGKILL", 2_000],
  ] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    const clock = new AbortController();
    const late = await Promise.race([exited.then(() => false), sleep(ms, true, { signal: clock.signal }).catch(() => false)]);
    clock.abort();
    if (!late) return;
  }
}

async function gone(pid: number): Promise<void> {
  while (alive(pid)) await sleep(50, undefined, { ref: false });
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function accepting(url: string, ended: () => string | null): Promise<void> {
  const deadline = Date.now() + 60_000; // recovery after a crash may take a while
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
    client.on("error", () => {});
    try {
      await client.connect();
      await client.query("select 1");
      const why = ended();
      if (why) throw new Error(why); // somebody else answers on this port
      return;
    } catch (error) {
      const why = ended();
      if (why) throw new Error(why);
      if ((error as { code?: string }).code === "28P01" || Date.now() > deadline) throw error;
    } finally {
      await client.end().catch(() => {});
    }
    await sleep(20);
  }
}

function urlOf(port: number, password: string | undefined): string {
  return `postgres://postgres${password === undefined ? "" : `:${encodeURIComponent(password)}`}@127.0.0.1:${port}/postgres`;
}

const hasSetpriv = (() => {
  let known: boolean | undefined;
  return () => (known ??= spawnSync("setpriv", ["--version"]).status === 0);
})();

function dieWithParent({ ids }: Account): string[] {
  if (!hasSetpriv()) return [];
  return ["setpriv", "--pdeathsig", "INT", ...(ids ? ["--reuid", `${ids.uid}`, "--regid", `${ids.gid}`, "--clear-groups"] : []), "--"];
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
      .once("error", reject)
      .listen(0, "127.0.0.1", () => {
        const address = server.address();
        server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
      });
  });
}
