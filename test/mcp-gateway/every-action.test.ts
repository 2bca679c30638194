import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { z } from "zod";
import { type Scope, scopes as everyScope } from "../../contracts/scopes.ts";
import type { Action } from "../../mcp-gateway/registry/action.ts";
import { tools } from "../../mcp-gateway/registry/index.ts";
import { onStack } from "../faults/support/on-stack.ts";
import { until } from "../support/until.ts";
import { table, type World } from "./action-table.ts";

type Args = Record<string, unknown>;
interface Answer {
  ok: boolean;
  action: string;
  data?: Args;
  warnings?: string[];
  error?: { code: string; message: string; field?: string; allowed?: unknown; example?: Args };
}
type Call = (tool: string, args: Args) => Promise<Answer>;

const on = onStack({
  start: ["engine", "host"],
  before({ home }) {
    mkdirSync(join(home, "presets"), { recursive: true });
    for (const key of ["table", "table-changed", "table-gone"])
      writeFileSync(join(home, "presets", `${key}.json`), JSON.stringify({ key, providerType: "scripted", permissions: { mode: "ask" } }));
  },
});
const world = {} as World;
/** The local operator; another principal; the operator with tokens that can only read, or not even that. */
type Who = "operator" | "stranger" | "reader" | "launcher";
const calls = new Map<string, Call>();
const clients: Client[] = [];
const doors = ["HTTP, 2026-07-28", "HTTP, 2025-11-25", "HTTP without MCP", "stdio"];

beforeAll(async () => {
  const { baton, stack } = on;
  const gateway = await stack.startGateway();
  const token = async (principal: string, scopes: Scope[]) => (await baton.sdk.tokens.create({ principal: "local" }, { principal, scopes })).secret;
  const secrets: Record<Who, string> = {
    operator: readFileSync(join(stack.home, "token"), "utf8").trim(),
    stranger: await token("stranger", [...everyScope]),
    reader: await token("local", ["session:read"]),
    launcher: await token("local", ["session:launch"]),
  };
  for (const [who, secret] of Object.entries(secrets)) {
    const http = () => new StreamableHTTPClientTransport(new URL(gateway.url), { requestInit: { headers: { authorization: `Bearer ${secret}` } } });
    calls.set(`HTTP, 2026-07-28 ${who}`, await open(http(), "auto"));
    calls.set(`HTTP, 2025-11-25 ${who}`, await open(http(), "legacy"));
    calls.set(`HTTP without MCP ${who}`, plain(gateway.url, secret));
    const env = { ...stack.env, ...(who === "operator" ? {} : { BATON_TOKEN: secret }) };
    const stdio = { command: process.execPath, args: [join(import.meta.dirname, "../../mcp-gateway/stdio-main.ts")], env };
    calls.set(`stdio ${who}`, await open(new StdioClientTransport(stdio), "auto"));
  }

  const launch = async (taskKey: string, steps: unknown[]): Promise<string> => {
    const { data } = await baton.sdk.sessions.launch(
      { principal: "local" },
      {
        clientRequestId: taskKey,
        actor: "@table",
        taskKey,
        launcherConfigKey: "table",
        agentHandle: "executor",
        prompt: "go",
        config: { scenario: { turns: [steps, [{ say: "more" }]] } },
        task: { title: taskKey, repositoryPath: stack.repository, projectKey: "TABLE" },
      },
    );
    return String(data["sessionUlid"]);
  };
  world.repository = stack.repository;
  world.taskKey = "TABLE-IDLE";
  [world.idle, world.running, world.asking] = await Promise.all([
    launch("TABLE-IDLE", [{ say: "done" }]),
    launch("TABLE-RUNNING", [{ hang: {} }]),
    launch("TABLE-ASKING", [{ ask: { title: "May I?" } }, { hang: {} }]),
  ]);
  await baton.turnsEnded(world.idle, 1, 60_000);
  const rows = async (sql: string, id: string): Promise<boolean> => (await baton.query(sql, [id])).length === 1;
  await until("the one runs", () => rows("select 1 from turn where session_ulid = $1 and prompt_sent_at is not null", world.running), 30_000);
  await until("the other asks", () => rows("select 1 from approval where session_ulid = $1", world.asking), 30_000);
  world.approvalId = (await baton.query<{ id: string }>("select approval_id as id from approval where session_ulid = $1", [world.asking]))[0]!.id;
}, 120_000);
afterAll(() => Promise.all(clients.map((client) => client.close())));

async function open(transport: StreamableHTTPClientTransport | StdioClientTransport, mode: "auto" | "legacy"): Promise<Call> {
  const client = new Client({ name: "table", version: "1" }, { versionNegotiation: { mode } });
  clients.push(client);
  await client.connect(transport);
  return async (tool, args) => {
    const result = await client.callTool({ name: tool, arguments: args });
    const answer = result.structuredContent as unknown as Answer;
    // Hosts show one or the other.
    expect(JSON.parse((result.content as { text: string }[])[0]?.text ?? "")).toEqual(answer);
    expect(result.isError === true).toBe(!answer.ok);
    return answer;
  };
}

function plain(url: string, secret: string): Call {
  return async (tool, args) => {
    const headers = { authorization: `Bearer ${secret}`, "content-type": "application/json" };
    const response = await fetch(new URL(`/call/${tool}`, url), { method: "POST", headers, body: JSON.stringify(args) });
    const answer = (await response.json()) as Answer;
    expect(response.ok).toBe(answer.ok);
    return answer;
  };
}

const actions = tools.flatMap((tool) => tool.actions.map((action) => ({ tool: tool.name, takesAction: tool.takesAction, action })));
const required = (action: Action): string[] => Object.entries(action.schema.shape).flatMap(([name, field]) => (isOptional(field) ? [] : [name]));
const isOptional = (field: unknown): boolean => z.safeParse(field as z.ZodType, undefined).success;

/** A run needs a session at rest, and the call before may have asked for a turn. */
async function atRest(): Promise<void> {
  await until("the idle session is at rest", async () => {
    const { rows, open: left } = (
      await on.baton.query<{ rows: string; open: string }>(
        `select (select count(*) from turn where session_ulid = $1 and reported_at is null) as rows,
        (select count(*) from input where session_ulid = $1 and state in ('recorded', 'accepted', 'delivering')) as open`,
        [world.idle],
      )
    )[0]!;
    return rows === "0" && left === "0";
  });
}

test("the table has a row for every action", () => {
  const rowOf = (tool: string, action: string): boolean => table.some((row) => row.tool === tool && row.action === action);
  // The read-only twin's actions are the same objects.
  expect(
    actions.filter(({ tool, action }) => tool !== "pm_session_read" && !rowOf(tool, action.action)).map(({ tool, action }) => `${tool} ${action.action}`),
  ).toEqual([]);
});

describe.each(doors)("%s", (door) => {
  const callAs = (who: Who): Call => calls.get(`${door} ${who}`)!;
  const call: Call = (tool, args) => callAs("operator")(tool, args);

  test.each(table.map((row) => [`${row.tool} ${row.action}`, row] as const))("%s", async (_, row) => {
    const { action, takesAction } = actions.find((one) => one.tool === row.tool && one.action.action === row.action)!;
    const named = takesAction ? { action: row.action } : {};
    const works = async (args: Args, how: string): Promise<void> => {
      await atRest();
      const answer = await call(row.tool, { ...named, ...args });
      expect([how, answer.error ?? answer.ok]).toEqual([how, true]);
      expect(answer.action).toBe(row.action);
    };
    const refused = async (args: Args, how: string, who: Who = "operator"): Promise<NonNullable<Answer["error"]>> => {
      const answer = await callAs(who)(row.tool, { ...named, ...args });
      expect([how, answer.ok]).toEqual([how, false]);
      return answer.error!;
    };
    await works(row.happy(world), "happy");
    const absent = Object.keys(action.schema.shape).filter((name) => !(name in row.happy(world)));
    await works({ ...row.happy(world), ...Object.fromEntries(absent.map((name) => [name, null])) }, "null is absent");
    const text = Object.entries(row.happy(world)).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]);
    await works(Object.fromEntries(text), "values as text");
    if (takesAction) await works({ ...row.happy(world), action: ` ${row.action.toUpperCase().replaceAll("_", " ")} ` }, "the action's case and spaces");
    for (const name of required(action)) {
      const { [name]: __, ...rest } = row.happy(world);
      expect(await refused(rest, `without ${name}`)).toMatchObject({ code: "INVALID_ARGUMENT", field: name, example: expect.anything() });
      expect(await refused({ ...rest, [name]: null }, `${name} null`)).toMatchObject({ code: "INVALID_ARGUMENT", field: name });
    }
    expect(await refused({ ...row.happy(world), bogusKey: 1 }, "an unknown key")).toMatchObject({ code: "INVALID_ARGUMENT", field: "bogusKey" });
    if (row.wrongState) {
      const { args, code } = row.wrongState(world);
      expect(await refused(args, "wrong state")).toMatchObject({ code });
    }
    if (row.theirs) {
      const reference = "sessionUlids" in row.happy(world) ? { sessionUlids: ["01ARZ3NDEKTSV4RRFFQ69G5FAV"] } : { sessionUlid: "01ARZ3NDEKTSV4RRFFQ69G5FAV" };
      const nobodys = await refused({ ...row.happy(world), ...reference }, "nobody's session");
      expect(nobodys).toMatchObject({ code: "NOT_FOUND" });
      // To whom it does not belong it is not there, in the same words.
      const anothers = await refused(row.happy(world), "another's session", "stranger");
      expect(anothers.message.replaceAll(world.idle, "").replaceAll(world.asking, "")).toBe(nobodys.message.replaceAll("01ARZ3NDEKTSV4RRFFQ69G5FAV", ""));
    }
    {
      const weak = action.scope === "session:read" ? "launcher" : "reader";
      expect(await refused(row.happy(world), "without its scope", weak)).toMatchObject({
        code: "PERMISSION_DENIED",
        message: expect.stringContaining(action.scope),
      });
    }
  });
});
