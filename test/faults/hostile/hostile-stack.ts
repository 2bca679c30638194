import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { audit } from "../support/auditor.ts";
import { launchScripted } from "../support/launch.ts";
import { type OnStack, onStack } from "../support/on-stack.ts";

const agent = join(import.meta.dirname, "..", "support", "hostile-agent.ts");
export const caller = { principal: "local", actor: "@test" };

/** A stack with a preset for each way to start, and a session beside the hostile ones that must not notice them. */
export interface HostileStack {
  on: OnStack;
  /** launches an agent that starts as `start` says; the prompt names its deed */
  launch(name: string, start: string, prompt: string): Promise<string>;
  input(session: string, prompt: string): Promise<void>;
  /** events of a type, their data in order */
  events<T>(session: string, type: string): Promise<T[]>;
  /** what the agent wrote down of itself */
  memory(session: string): string;
  /** the runners' files of a session, in bytes */
  runnerBytes(session: string, kind: string): number;
  runnerFile(session: string, kind: string): string;
  /** fails when the hostile ones did something to the bookkeeping of these sessions */
  expectKept(sessions: string[], turns: number): Promise<void>;
  /** fails when the session beside has lost something or stands still */
  expectBystander(): Promise<void>;
}

export function hostileStack(starts: string[], numbers: Record<string, string>): HostileStack {
  const on = onStack({
    start: ["engine", "host"],
    numbers,
    before(stack) {
      mkdirSync(join(stack.home, "presets"));
      mkdirSync(join(stack.home, "memory"));
      for (const start of starts)
        writeFileSync(
          join(stack.home, "presets", `hostile-${start}.json`),
          JSON.stringify({
            key: `hostile-${start}`,
            providerType: "acp",
            config: { command: [process.execPath, agent, start, join(stack.home, "memory")] },
            permissions: { mode: "ask" },
          }),
        );
    },
  });
  let bystander = "";
  let seen = 0;
  beforeAll(async () => {
    bystander = await launchScripted(on.baton, on.stack, { key: key("beside"), turns: [[{ numbered: { count: 100_000, everyMs: 100 } }]] });
  });
  const key = (name: string): string => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
  const files = (session: string, kind: string): string[] => {
    const dir = join(on.stack.home, "runners", session);
    return readdirSync(dir)
      .filter((name) => name.startsWith(kind))
      .map((name) => join(dir, name));
  };
  const runnerFile = (session: string, kind: string): string =>
    files(session, kind)
      .map((file) => readFileSync(file, "latin1"))
      .join("");
  const events = async <T>(session: string, type: string): Promise<T[]> =>
    (await on.baton.query<{ data: T }>("select data from event where session_ulid = $1 and type = $2 order by seq", [session, type] as unknown[])).map(
      (row) => row.data,
    );
  return {
    on,
    events,
    runnerFile,
    async launch(name, start, prompt) {
      const { data } = await on.baton.sdk.sessions.launch(caller, {
        clientRequestId: key(name),
        actor: "@test",
        taskKey: key(name),
        launcherConfigKey: `hostile-${start}`,
        prompt,
        task: { title: name, repositoryPath: on.stack.repository, projectKey: "FAULTS" },
      });
      return String(data["sessionUlid"]);
    },
    async input(session, prompt) {
      await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt });
    },
    memory: (session) => readFileSync(join(on.stack.home, "memory", session), "utf8"),
    runnerBytes: (session, kind) => runnerFile(session, kind).length,
    async expectKept(sessions, turns) {
      expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions, turnsPerSession: turns })).toEqual([]);
      for (const session of sessions) {
        // Every event that a runner wrote down is stored, in its order, and as what it was.
        const written = runnerFile(session, "spool-")
          .split("\n")
          .filter((line) => line !== "")
          .map((line) => JSON.parse(line) as { kind: string; event?: { type: string } })
          .flatMap((record) => (record.kind === "event" ? [record.event?.type] : []));
        const stored = await on.baton.query<{ type: string }>(
          "select type from event where session_ulid = $1 and event_key is null and type = any($2) order by seq",
          [session, [...new Set(written)]],
        );
        expect(stored.map((row) => row.type)).toEqual(written);
        expect((await events<{ reason: string }>(session, "line.unparsed")).filter((one) => one.reason.startsWith("The database refused"))).toEqual([]);
      }
    },
    async expectBystander() {
      const numbers = async (): Promise<number[]> => (await events<{ output?: string }>(bystander, "tool.completed")).map((one) => Number(one.output));
      await on.baton.eventually("the session beside goes on", async () => (await numbers()).length > seen, 20_000);
      const stored = await numbers();
      seen = stored.length;
      expect(stored).toEqual(stored.map((_, at) => at + 1));
      expect(await on.baton.query("select 1 from turn where session_ulid = $1 and (result is not null or attempt > 1)", [bystander])).toEqual([]);
      const [row] = await on.baton.query<{ gapless: boolean }>("select count(*) = max(seq) gapless from event where session_ulid = $1", [bystander]);
      expect(row?.gapless).toBe(true);
    },
  };
}
