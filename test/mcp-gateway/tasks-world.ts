import { readFileSync } from "node:fs";
import { join } from "node:path";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { onRows } from "../control/session-rows.ts";
import { endNodeProcesses, type NodeProcess, nodeProcess } from "../support/node-process.ts";
import { type TasksClient, tasksClient } from "./tasks-client.ts";

const root = join(import.meta.dirname, "../..");

/** Two gateways of one database, whose sessions are rows, and clients that know tasks. */
export function onTasks() {
  const on = onRows();
  const open: TasksClient[] = [];
  const doors: URL[] = [];
  const env: Record<string, string> = {};
  let operator = "";
  beforeAll(async () => {
    Object.assign(env, {
      BATON_HOME: on.home,
      BATON_PORT: "0",
      BATON_INSTANCE: "test",
      BATON_HOST_ID: "h",
      DATABASE_URL: on.databaseUrl,
      TEMPORAL_ADDRESS: process.env["TEST_TEMPORAL_ADDRESS"] ?? "",
    });
    doors.push(...(await Promise.all([gateway(), gateway()])).map((one) => one.url));
    operator = readFileSync(join(on.home, "token"), "utf8").trim();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map(({ client }) => client.close().catch(() => {})));
    await on.sql.query("delete from mcp_task");
  });
  afterAll(() => endNodeProcesses());

  async function gateway(): Promise<{ process: NodeProcess; url: URL }> {
    const started = nodeProcess(join(root, "mcp-gateway/main.ts"), { env });
    return { process: started, url: new URL((JSON.parse((await started.line(/^ready (.*)$/m))[1] ?? "{}") as { url: string }).url) };
  }
  const kept = (made: TasksClient): TasksClient => {
    open.push(made);
    return made;
  };
  return {
    on,
    doors,
    gateway,
    operator: () => operator,
    async at(door: URL | undefined, a: { secret?: string; knows?: boolean; mode?: "auto" | "legacy" } = {}): Promise<TasksClient> {
      const headers = { authorization: `Bearer ${a.secret ?? operator}` };
      return kept(await tasksClient(new StreamableHTTPClientTransport(door!, { requestInit: { headers } }), a.knows, a.mode));
    },
    async overStdio(): Promise<TasksClient> {
      const args = [join(root, "mcp-gateway/stdio-main.ts")];
      return kept(await tasksClient(new StdioClientTransport({ command: process.execPath, args, env: { PATH: process.env["PATH"] ?? "", ...env } })));
    },
    rows: async () => (await on.sql.query<{ state: string; answer: unknown }>("select state, answer from mcp_task order by task_id")).rows,
    /** A session at work, and the task that a wait for its idleness became. */
    async waited(by: TasksClient, session?: string) {
      const sessionUlid = session ?? (await on.session());
      const turn = await on.turn(sessionUlid);
      const { task } = await by.call(idle(sessionUlid));
      return { sessionUlid, turn, taskId: task!.taskId, task: task! };
    },
  };
}

/** A wait until the session is idle. */
export const idle = (sessionUlid: string) => ({ action: "wait", sessionUlids: [sessionUlid], until: "idle" });
/** What the agent of `onRows` says at the end of its turns. */
export const said = "It is done.";
