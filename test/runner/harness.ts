import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SpoolRecord, RunnerConnection, RunnerSpec } from "../../contracts/runner-protocol.ts";
import type { EventData, EventType, NewEvent } from "../../contracts/event.ts";
import { newUlid } from "../../providers/ulid.ts";
import { killUntilNone, markedProcesses, startTicks } from "../../providers/process-tree.ts";
import { runnerControl } from "../../runner/control-client.ts";
import { readSpool } from "../../runner/spool-reader.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";

const root = join(import.meta.dirname, "../..");
export const control = runnerControl({ nodePath: process.execPath, mainPath: join(root, "runner/main.ts"), env: process.env });
// Hooks run in the order of their registration: first nobody writes any more, then the directory goes. Both once a file, not inside a test.
afterAll(endBenches);
const home = temporaryDirectory();
const started: { sessionUlid: string; pids: Set<number> }[] = [];

/** A session on a disk of its own, and what its runner and agent left there. */
export interface Bench {
  spec(changes?: Partial<RunnerSpec>, launch?: Partial<RunnerSpec["launch"]>): RunnerSpec;
  spawn(spec: RunnerSpec): Promise<RunnerConnection>;
  attach(spec: RunnerSpec, epoch: number, owner: string): Promise<RunnerConnection>;
  /** A runner that another process started: it too is ended with the file. */
  watch(runnerPid: number): void;
  records(spec: RunnerSpec): Promise<SpoolRecord[]>;
  events<T extends EventType>(spec: RunnerSpec, type: T): Promise<NewEvent<T>[]>;
  /** Waits for an event whose data fits. */
  event<T extends EventType>(spec: RunnerSpec, type: T, fits?: (data: EventData[T]) => boolean): Promise<NewEvent<T>>;
  ended(spec: RunnerSpec, turnId: string): Promise<Extract<SpoolRecord, { mark: "turn.ended" }>>;
  agentLog(): string;
  runnerLog(): string;
  cwd: string;
  sessionUlid: string;
}

export function bench(scenario: unknown): Bench {
  const dir = join(home, String(started.length));
  mkdirSync(dir, { mode: 0o700 });
  // A file: the kernel takes no environment variable above 128 KB, and a scenario may hold a huge line.
  writeFileSync(join(dir, "scenario.json"), JSON.stringify(scenario));
  const sessionUlid = newUlid();
  const pids = new Set<number>();
  started.push({ sessionUlid, pids });
  const read = (name: string): string => (existsSync(join(dir, name)) ? readFileSync(join(dir, name), "utf8") : "");
  const made: Bench = {
    cwd: dir,
    sessionUlid,
    spec(changes = {}, launch = {}) {
      const runnerId = newUlid();
      return {
        launch: {
          sessionUlid,
          runnerId,
          provider: "scripted",
          command: [process.execPath, join(root, "scripted-agent/main.ts")],
          cwd: dir,
          env: { HOME: dir, BATON_SCENARIO_FILE: join(dir, "scenario.json") },
          permissionMode: "ask",
          stallMs: 60_000,
          ...launch,
        },
        specHash: "h",
        epoch: 1,
        owner: "one",
        uid: process.getuid?.() ?? 0,
        instance: "test",
        dir: join(dir, "runner"),
        socketPath: join(dir, `${runnerId.slice(-8)}.sock`),
        stopGraceMs: 500,
        keepAliveMs: 60_000,
        orphanMs: 60_000,
        maxSpoolBytes: 50_000_000,
        maxEventBytes: 256_000,
        ...changes,
      };
    },
    async spawn(spec) {
      const connection = await control.spawn(spec);
      pids.add((await connection.status()).pid);
      return connection;
    },
    attach: (spec, epoch, owner) => control.attach({ socketPath: spec.socketPath, sessionUlid, runnerId: spec.launch.runnerId, epoch, owner }),
    watch(pid) {
      pids.add(pid);
    },
    records: async (spec) =>
      (await readSpool(join(spec.dir, `spool-${spec.launch.runnerId}.ndjson`), 0, 50_000_000)).records.map(({ record }) => {
        if (record.kind === "unparsed") throw new Error(record.reason);
        return record;
      }),
    events: async <T extends EventType>(spec: RunnerSpec, type: T) =>
      (await made.records(spec)).flatMap((one) => (one.kind === "event" && one.event.type === type ? [one.event as NewEvent<T>] : [])),
    event: <T extends EventType>(spec: RunnerSpec, type: T, fits: (data: EventData[T]) => boolean = () => true) =>
      until(`event ${type}`, async () => (await made.events(spec, type)).find((one) => fits(one.data))),
    ended: (spec, turnId) =>
      until(
        `end of ${turnId}`,
        async () =>
          (await made.records(spec)).find((one) => one.kind === "mark" && one.mark === "turn.ended" && one.turnId === turnId) as
            | Extract<SpoolRecord, { mark: "turn.ended" }>
            | undefined,
      ),
    agentLog: () => read("agent.log"),
    runnerLog: () => read("runner/runner.log"),
  };
  return made;
}

export const alive = (pid: number): boolean => startTicks(pid) !== null;
export const marked = (sessionUlid: string): number[] => markedProcesses(sessionUlid, () => true).map((one) => one.pid);

/** Ends what the file's tests started. */
async function endBenches(): Promise<void> {
  for (const { sessionUlid, pids } of started) {
    for (const pid of pids) if (alive(pid)) process.kill(pid, "SIGKILL");
    await until("the runners' end", () => ![...pids].some(alive));
    await killUntilNone(() => markedProcesses(sessionUlid, () => true), 5_000);
  }
}
