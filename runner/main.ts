/** One process per live agent: `node runner/main.ts <specfile>`, or `--standby` and the file's name on stdin. Started detached by `control-client.ts`. */
import { appendFileSync, readFileSync, rmSync } from "node:fs";
import { flushCompileCache } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RunnerSpec } from "../contracts/runner-protocol.ts";
import type { Sink } from "../contracts/provider.ts";
import { acpDriver } from "../providers/acp.ts";
import { killUntilNone, markedProcesses, type ProcessRef } from "../providers/process-tree.ts";
import { serveControl } from "./control-server.ts";
import type { ControlServer } from "./control-server.ts";
import { epochFile } from "./epoch-file.ts";
import { exitCodes } from "./exit-codes.ts";
import { limits } from "./limits.ts";
import { maskOf } from "./mask.ts";
import { openRawLog } from "./raw-log.ts";
import { createRunner } from "./runner.ts";
import { takeSessionLock } from "./session-lock.ts";
import { openSpool } from "./spool-writer.ts";
import type { SpoolWriter } from "./spool-writer.ts";

// A terminal's Ctrl-C and a closed terminal are not for us. Handlers, not SIG_IGN: the agent must not inherit them.
for (const name of ["SIGINT", "SIGHUP", "SIGPIPE"] as const) process.on(name, () => undefined);

const specFile = process.argv[2] === "--standby" ? await specFromStdin() : (process.argv[2] ?? "");
const spec = JSON.parse(readFileSync(specFile, "utf8")) as RunnerSpec;
// It holds secrets.
rmSync(specFile, { force: true });
const { launch } = spec;
// What this process got by its allow list, and over it what the agent is to have.
const { NODE_COMPILE_CACHE: compileCache, ...own } = process.env;
// The cache is for programs of ours: the scripted agent is one, others must not get to write there by accident.
launch.env = { ...definedOnly(launch.provider === "scripted" ? { ...own, NODE_COMPILE_CACHE: compileCache } : own), ...launch.env };

const mask = maskOf(launch.secrets ?? []);
const log = (text: string): void => {
  try {
    appendFileSync(join(spec.dir, "runner.log"), `${new Date().toISOString()} ${launch.runnerId} ${process.pid} ${mask.text(text)}\n`, { mode: 0o600 });
  } catch {
    /* a full disk */
  }
};
const leave = (code: number, why: string): never => {
  log(why);
  process.exit(code);
};

// Before anything else: from here on nobody else serves this session.
if (!(await takeSessionLock({ uid: spec.uid, instance: spec.instance, sessionUlid: launch.sessionUlid, waitMs: 3_000 })))
  leave(exitCodes.locked, "another runner holds the session");

const epochs = epochFile(spec.dir);
const seen = epochs.read();
if (seen && (seen.epoch > spec.epoch || (seen.epoch === spec.epoch && seen.owner !== spec.owner)))
  leave(exitCodes.fenced, `epoch ${seen.epoch} was here, ours is ${spec.epoch}`);
epochs.write({ epoch: spec.epoch, owner: spec.owner });

// A dead predecessor's agent would be a second writer in the worktree. The session's first runner has none: each wrote its epoch before its agent.
const strangers = (): ProcessRef[] => (seen === null ? [] : markedProcesses(launch.sessionUlid, (runnerId) => runnerId !== launch.runnerId));
const survivors = await killUntilNone(strangers, 10_000);
if (survivors.length > 0) leave(exitCodes.survivors, `these processes of the session do not die: ${survivors.map((one) => one.pid).join(", ")}`);

let control: ControlServer | null = null;
let working = false;
let noticeDue = false;

/** One notice per turn of the event loop, however many records. */
function spoolGrew(): void {
  if (noticeDue) return;
  noticeDue = true;
  setImmediate(() => {
    noticeDue = false;
    control?.notify({ notice: "spool", end: spool.end() });
  });
}

const spool = openSpool({
  path: join(spec.dir, `spool-${launch.runnerId}.ndjson`),
  maxEventBytes: spec.maxEventBytes,
  mask: mask.text,
  wrote: spoolGrew,
  blocked(code) {
    spool.append({ kind: "event", event: { type: "notice.raised", data: { message: `spool_blocked: ${code}` }, at: new Date().toISOString() } });
  },
});
/** For all that is said of turns, in its order: a turn's end puts out what is held back. */
const masked: SpoolWriter = {
  ...spool,
  append(record) {
    for (const one of mask.records(record)) spool.append(one);
  },
};
const raw = openRawLog(join(spec.dir, `raw-${launch.runnerId}.log`), mask.text);

let overfull = false;
let hadTurn = false;
const sink: Sink = {
  write(record) {
    if (spool.end() > spec.maxSpoolBytes) tooMuch();
    // No more streaming and no more garbage. Facts are still recorded.
    if (overfull && (record.kind === "delta" || (record.kind === "event" && record.event.type === "line.unparsed"))) return;
    masked.append(record);
  },
  raw(line) {
    const ref = raw(line);
    // Also what comes to no record takes room on the disk.
    if (ref.offset > spec.maxSpoolBytes) tooMuch();
    return ref;
  },
  // Who said too much is read slowly until its end, so that its memory and our disk take only a little more.
  blocked: () => spool.blocked() ?? (overfull ? sleep(10) : null),
};

/**
 * Too much said: the turn ends, and with it the agent. Between turns the agent ends at once: nobody would stop it.
 * Before its first turn it waits for that one: ended now, it would be started for it again and again, and nobody told why.
 */
function tooMuch(): void {
  if (overfull) return;
  overfull = true;
  const { turnId } = runner.status(0);
  const ends = turnId === null && hadTurn;
  const message = `the agent said more than ${spec.maxSpoolBytes} bytes and is ${ends ? "ended" : "interrupted"}`;
  spool.append({ kind: "event", event: { type: "notice.raised", data: { message }, at: new Date().toISOString(), ...(turnId === null ? {} : { turnId }) } });
  if (ends) runner.close({ reason: "spool_full", lost: false });
  else interruptNow();
}

function interruptNow(): void {
  const { turnId } = runner.status(0);
  if (turnId !== null) void runner.handle({ id: 0, epoch: 0, owner: "", cmd: "interrupt", turnId });
}

const clocks = limits({
  keepAliveMs: spec.keepAliveMs,
  orphanMs: spec.orphanMs,
  idle: () => runner.close({ reason: "idle", lost: false }),
  orphaned: () => runner.close({ reason: "orphaned", lost: true }),
});

const runner = createRunner({
  spec,
  spool: masked,
  sink,
  driver: acpDriver,
  changed(now) {
    working = now;
    hadTurn = true;
    if (overfull && working) setImmediate(interruptNow);
    if (overfull && !working) runner.close({ reason: "spool_full", lost: false });
    clocks.changed({ working, attached: control?.attached() ?? false });
  },
  closingNow(reason) {
    clocks.stop();
    log(`closing: ${reason}`);
    control?.notify({ notice: "closing", reason });
  },
});

process.on("SIGTERM", () => runner.close({ reason: "sigterm", lost: true }));
for (const name of ["uncaughtException", "unhandledRejection"] as const)
  process.on(name, (error: unknown) => {
    log(`${name}: ${error instanceof Error ? error.stack : String(error)}`);
    runner.close({ reason: "runner_error", lost: true });
  });

control = await serveControl({
  socketPath: spec.socketPath,
  sessionUlid: launch.sessionUlid,
  runnerId: launch.runnerId,
  owner: { epoch: spec.epoch, owner: spec.owner },
  persist: epochs.write,
  status: () => runner.status(control?.owner().epoch ?? spec.epoch),
  closing: runner.isClosing,
  handle: runner.handle,
  attachedChanged(attached) {
    clocks.changed({ working, attached });
    // Whoever said so is gone, and who attaches now knows better.
    if (attached) void runner.handle({ id: 0, epoch: 0, owner: "", cmd: "silence", expected: false });
  },
});
clocks.changed({ working, attached: false });
log(`listening, epoch ${spec.epoch}`);
// Now and not at the end: a runner that is killed writes nothing.
setTimeout(flushCompileCache, 500).unref();

const reason = await runner.closed;
// An agent that was still opening has no session that could end it.
await killUntilNone(() => markedProcesses(launch.sessionUlid, (runnerId) => runnerId === launch.runnerId), 5_000);
await control.end();
leave(0, `closed: ${reason}`);

function definedOnly(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined));
}

/** Waits to be needed. The end of stdin before its first line: who kept us ready is gone. */
async function specFromStdin(): Promise<string> {
  let said = "";
  const told = Promise.withResolvers<string>();
  const hear = (piece: Buffer): void => {
    said += piece.toString();
    if (said.includes("\n")) told.resolve(said.slice(0, said.indexOf("\n")));
  };
  const gone = (): never => process.exit(0);
  process.stdin.on("data", hear).once("end", gone).once("error", gone);
  const file = await told.promise;
  // Not closed: the number 0 would go to the next file that is opened.
  process.stdin
    .off("data", hear)
    .off("end", gone)
    .off("error", gone)
    .on("error", () => undefined)
    .pause();
  (process.stdin as unknown as { unref?(): void }).unref?.();
  return file;
}
