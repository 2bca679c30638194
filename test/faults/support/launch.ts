import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { repositoryInspector } from "../../../client/inspect-repository.ts";
import { type Baton, openBaton } from "../../../client/open-baton.ts";
import type { Stack } from "./stack.ts";

const caller = { principal: "local", actor: "@test" };
export interface TestBaton {
  readonly sdk: Baton;
  /** waits until `n` turns of the session are done and reported */
  turnsEnded(sessionUlid: string, n: number, timeoutMs: number): Promise<void>;
  outcomes(sessionUlid: string): Promise<string[]>;
  closeSession(sessionUlid: string): Promise<void>;
  eventually(what: string, probe: () => Promise<boolean>, timeoutMs: number): Promise<void>;
  query<T extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<T[]>;
  close(): Promise<void>;
}

/** The SDK on a stack, and an eye of our own on its database. */
export async function openTestBaton(stack: Stack): Promise<TestBaton> {
  const sdk = await openBaton({
    databaseUrl: stack.databaseUrl,
    temporalAddress: stack.env["TEMPORAL_ADDRESS"] ?? "",
    temporalNamespace: "default",
    instance: stack.env["BATON_INSTANCE"] ?? "",
    home: stack.home,
    hostId: "host1",
    hostBeatTimeoutMs: Number(stack.env["BATON_HOST_BEAT_TIMEOUT_MS"]),
    turnAttempts: 3,
    inputQueue: 50,
    inspectRepository: repositoryInspector(process.env),
    searchPath: stack.env["PATH"] ?? "",
  });
  const pool = new pg.Pool({ connectionString: stack.databaseUrl, max: 2 });
  // Tests kill their Postgres: unheard, that would end the test's process.
  pool.on("error", () => undefined);
  const query = async <T extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<T[]> => (await pool.query<T>(sql, values)).rows;
  const eventually: TestBaton["eventually"] = async (what, probe, timeoutMs) => {
    for (const end = Date.now() + timeoutMs; !(await probe()); await sleep(50)) {
      if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain: ${what}\n${stack.log().slice(-6_000)}`);
    }
  };
  return {
    sdk,
    query,
    eventually,
    turnsEnded: (sessionUlid, n, timeoutMs) =>
      eventually(
        `${n} reported turns of ${sessionUlid}`,
        async () => (await query("select 1 from turn where session_ulid = $1 and reported_at is not null", [sessionUlid])).length >= n,
        timeoutMs,
      ),
    outcomes: async (sessionUlid) =>
      (
        await query<{ outcome: string }>("select data->>'outcome' outcome from event where session_ulid = $1 and type = 'turn.completed' order by seq", [
          sessionUlid,
        ])
      ).map((row) => row.outcome),
    async closeSession(sessionUlid) {
      await sdk.sessions.close(caller, { sessionUlid });
      await eventually(
        `${sessionUlid} closed`,
        async () => (await query("select 1 from session where session_ulid = $1 and closed_at is not null", [sessionUlid])).length === 1,
        20_000,
      );
    },
    async close() {
      await sdk.close();
      await pool.end();
    },
  };
}

/** Launches a chain whose executor plays these turns. */
export async function launchChain(
  baton: TestBaton,
  stack: Stack,
  a: { taskKey: string; turns: unknown[]; chain: Record<string, unknown>; more?: Record<string, unknown> },
): Promise<{ sessionUlid: string; chainId: string }> {
  const { data } = await baton.sdk.sessions.launch(caller, {
    clientRequestId: `${stack.env["BATON_INSTANCE"]}-${a.taskKey}`,
    actor: "@test",
    taskKey: a.taskKey,
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    config: { scenario: { turns: a.turns } },
    task: { title: a.taskKey, repositoryPath: stack.repository, projectKey: "CHAINS" },
    chain: a.chain,
    ...a.more,
  });
  return { sessionUlid: String(data["sessionUlid"]), chainId: String(data["chainId"]) };
}

/** Launches a scripted agent with any steps in one turn after the other. */
export async function launchScripted(
  baton: TestBaton,
  stack: Stack,
  a: { key: string; turns: unknown[]; prompt?: string; scenario?: Record<string, unknown>; preset?: string },
): Promise<string> {
  const taskKey = a.key.replaceAll(/[^A-Za-z0-9._-]/g, "-");
  const { data } = await baton.sdk.sessions.launch(caller, {
    clientRequestId: a.key,
    actor: "@test",
    taskKey,
    launcherConfigKey: a.preset ?? "demo-executor",
    agentHandle: "executor",
    prompt: a.prompt ?? "go",
    config: { scenario: { ...a.scenario, turns: a.turns } },
    task: { title: taskKey, repositoryPath: stack.repository, projectKey: "FAULTS" },
  });
  return String(data["sessionUlid"]);
}

export const launchNumbered = (baton: TestBaton, stack: Stack, a: { key: string; count: number; everyMs: number }): Promise<string> =>
  launchScripted(baton, stack, { key: a.key, turns: [[{ numbered: { count: a.count, everyMs: a.everyMs } }]] });

/** Launches an agent that never opens: it says nothing and lives. */
export async function launchMute(baton: TestBaton, stack: Stack, key: string): Promise<string> {
  mkdirSync(join(stack.home, "presets"), { recursive: true });
  const mute = { key: "mute", providerType: "acp", config: { command: ["sh", "-c", "sleep 1000"] }, permissions: { mode: "ask" } };
  writeFileSync(join(stack.home, "presets", "mute.json"), JSON.stringify(mute));
  const task = { title: "mute", repositoryPath: stack.repository, projectKey: "FAULTS" };
  const { data } = await baton.sdk.sessions.launch(caller, {
    clientRequestId: key,
    actor: "@test",
    taskKey: key,
    launcherConfigKey: "mute",
    prompt: "go",
    task,
  });
  return String(data["sessionUlid"]);
}
