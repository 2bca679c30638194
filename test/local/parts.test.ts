import { spawn } from "node:child_process";
import { closeSync, chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync, openSync, writeSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { lockHome } from "../../local/home-lock.ts";
import { fillHome, openHome } from "../../local/home.ts";
import { keepUp } from "../../local/keep-up.ts";
import { checkAddresses } from "../../local/addresses.ts";
import { watchLogs } from "../../local/log-file.ts";
import { endLeftovers } from "../../local/leftovers.ts";
import { startPart } from "../../local/part.ts";
import { choosePorts, holderOf } from "../../local/ports.ts";
import { isAlive, startOf } from "../../local/process-identity.ts";
import type { RunFile } from "../../local/run-file.ts";
import { onPath } from "../../local/temporal/binary.ts";
import { describeAsRoot } from "../faults/support/small-disk.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";
import { main } from "./support.ts";

const directory = temporaryDirectory();

test("a process is known by pid and start, not by pid alone", () => {
  const me = { pid: process.pid, startedAt: startOf(process.pid) ?? "" };
  expect(isAlive(me)).toBe(true);
  expect(isAlive({ ...me, startedAt: "another:1" })).toBe(false);
});

test("leftovers of a dead supervisor end, a stranger with a reused pid does not", async () => {
  const left = spawn("sleep", ["60"]);
  const stranger = spawn("sleep", ["60"]);
  const parts = { host: { pid: left.pid ?? 0, startedAt: startOf(left.pid ?? 0) ?? "" }, engine: { pid: stranger.pid ?? 0, startedAt: "former boot:1" } };
  await endLeftovers({ parts } as unknown as RunFile);
  expect(startOf(left.pid ?? 0)).toBeNull();
  expect(startOf(stranger.pid ?? 0)).not.toBeNull();
  stranger.kill("SIGKILL");
});

test("a home is private, and its secrets stay the same", () => {
  const path = join(directory, "home");
  mkdirSync(path);
  chmodSync(path, 0o755);
  const home = openHome(path);
  expect(statSync(path).mode & 0o777).toBe(0o755); // whoever only asks changes nothing
  fillHome(home);
  const token = readFileSync(home.tokenFile, "utf8");
  const password = readFileSync(home.postgresPassword, "utf8");
  chmodSync(path, 0o711);
  fillHome(openHome(path));
  expect([readFileSync(home.tokenFile, "utf8"), readFileSync(home.postgresPassword, "utf8")]).toEqual([token, password]);
  expect(Buffer.from(token.trim(), "base64url")).toHaveLength(32);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(home.tokenFile).mode & 0o777).toBe(0o600);
});

test("a directory that is open to others and somebody else's is refused and stays as it is", () => {
  const path = join(directory, "project");
  mkdirSync(join(path, "src"), { recursive: true });
  chmodSync(path, 0o755);
  expect(() => openHome(path)).toThrow(/open to other users.*\(src\).*BATON_HOME.*chmod 700/);
  expect([statSync(path).mode & 0o777, readdirSync(path)]).toEqual([0o755, ["src"]]);
  chmodSync(path, 0o700);
  expect(openHome(path).path).toBe(path);
  const prepared = join(directory, "prepared");
  mkdirSync(join(prepared, "presets"), { recursive: true });
  chmodSync(prepared, 0o755);
  expect(openHome(prepared).path).toBe(prepared);
});

describeAsRoot("with namespaces", () => {
  test("the lock holds across network and pid namespaces (two containers on one volume), and ends with its holder", async () => {
    const home = join(directory, "volume");
    mkdirSync(home);
    const script = join(directory, "hold.mts");
    writeFileSync(
      script,
      `import { lockHome } from "${join(main, "..", "home-lock.ts")}";\nconsole.log("held", (await lockHome(process.argv[2])) !== null);\nsetInterval(() => {}, 1000);`,
    );
    const holder = spawn("/usr/bin/unshare", ["--net", "--pid", "--fork", "--kill-child", process.execPath, script, home], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    expect(await lockHome(home)).toBeNull();
    holder.kill("SIGKILL");
    const lock = await until("the lock", () => lockHome(home));
    lock.release();
  });
});

test("one lock per home, free again when it is released", async () => {
  for (const name of ["a", "b"]) mkdirSync(join(directory, name));
  const one = await lockHome(join(directory, "a"));
  expect(await lockHome(join(directory, "a"))).toBeNull();
  const other = await lockHome(join(directory, "b"));
  expect(other).not.toBeNull();
  other?.release();
  one?.release();
  const again = await lockHome(join(directory, "a"));
  expect(again).not.toBeNull();
  again?.release();
});

test("a busy port is refused with the name of its holder", async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)));
  expect(holderOf(port)).toContain(`pid ${process.pid} `);
  await expect(choosePorts(port, ["gateway"])).rejects.toThrow(new RegExp(`Port ${port} .* pid ${process.pid} .*BATON_PORT`));
  await new Promise((resolve) => server.close(resolve));
});

test("the holder is found behind a descriptor that is closed while one looks", async () => {
  // The listing of the descriptors takes the lowest free number: one below the socket's.
  const below = openSync("/dev/null", "r");
  const server = createServer();
  const port = await new Promise<number>((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)));
  closeSync(below);
  expect(holderOf(port)).toContain(`pid ${process.pid} `);
  await new Promise((resolve) => server.close(resolve));
});

test("a part that dies is started again; a stop is final", async () => {
  const script = join(directory, "part.mjs");
  writeFileSync(script, "console.log('noise'); console.log('ready ' + JSON.stringify({ pid: process.pid })); setInterval(() => {}, 1000);");
  const log = join(directory, "part.log");
  const pids: (number | null)[] = [];
  const kept = await keepUp({
    name: "part",
    say: () => {},
    changed: (identity) => {
      pids.push(identity?.pid ?? null);
    },
    start: () => startPart({ script, env: { PATH: process.env["PATH"] }, log }),
  });
  const first = pids[0] ?? 0;
  process.kill(first, "SIGKILL");
  const second = await until("the second process", () => pids.length >= 3 && pids[2]);
  expect(second).not.toBe(first);
  expect(readFileSync(log, "utf8")).toContain(`ready {"pid":${second}}`);
  await kept.stop(2_000);
  expect(startOf(second)).toBeNull();
  await new Promise((resolve) => setTimeout(resolve, 600));
  expect(pids.at(-1)).toBeNull();
});

test("a log that grows while its writer lives is cut, and the writer goes on at its beginning", async () => {
  const logs = join(directory, "logs");
  mkdirSync(logs);
  const file = join(logs, "host.log");
  const writer = openSync(file, "a");
  writeSync(writer, Buffer.alloc(20_000_000, "old\n"));
  const stop = watchLogs(logs, (write) => write(), 50);
  await until("the cut", () => statSync(file).size === 0);
  writeSync(writer, "new\n");
  stop();
  closeSync(writer);
  expect([readFileSync(file, "utf8"), statSync(`${file}.1`).size, readdirSync(logs).toSorted()]).toEqual(["new\n", 20_000_000, ["host.log", "host.log.1"]]);
});

test("addresses that are none are refused by the name of their variable", () => {
  const check = (databaseUrl?: string, temporalAddress?: string): void => checkAddresses({ databaseUrl, temporalAddress });
  for (const good of ["postgres://u:p@h:5432/d", "postgresql://h/d"]) check(good, "temporal.example:7233");
  check(undefined, "[::1]:7233");
  expect(() => check("localhost:5432")).toThrow(/^DATABASE_URL/);
  for (const bad of ["http://h:7233", "h", "7233"]) expect(() => check(undefined, bad)).toThrow(/^TEMPORAL_ADDRESS.*host:7233/);
});

test("a part that cannot start says why", async () => {
  const script = join(directory, "broken.mjs");
  writeFileSync(script, "console.error('no such thing as luck'); process.exit(3);");
  await expect(startPart({ script, env: { PATH: process.env["PATH"] }, log: join(directory, "broken.log") })).rejects.toThrow(
    /code 3[\s\S]*no such thing as luck/,
  );
});

test("a program is found on PATH only if it can be run", () => {
  writeFileSync(join(directory, "tool"), "#!/bin/sh\n", { mode: 0o644 });
  expect(onPath("tool", { PATH: directory })).toBeNull();
  chmodSync(join(directory, "tool"), 0o755);
  expect(onPath("tool", { PATH: `/nowhere:${directory}` })).toBe(join(directory, "tool"));
});
