import { spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { freshDatabase } from "../support/fresh-database.ts";
import { endNodeProcesses, nodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";

const home = temporaryDirectory();
const root = join(import.meta.dirname, "..", "..");
let database: { url: string; drop(): Promise<void> };
let url: URL;
let token: string;

beforeAll(async () => {
  database = await freshDatabase();
  const gateway = nodeProcess(join(root, "mcp-gateway/main.ts"), {
    env: { BATON_HOME: home, BATON_PORT: "0", BATON_HOST_ID: "h1", DATABASE_URL: database.url, TEMPORAL_ADDRESS: process.env["TEST_TEMPORAL_ADDRESS"] ?? "" },
  });
  url = new URL((JSON.parse((await gateway.line(/^ready (.*)$/m))[1] ?? "{}") as { url: string }).url);
  token = readFileSync(join(home, "token"), "utf8").trim();
});
afterAll(async () => {
  await endNodeProcesses();
  await database.drop();
});

/** Plain HTTP: `fetch` does not let a test choose the Host. A connection each: the one of a refused large body is closed. */
function post(
  headers: Record<string, string>,
  body = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}',
  path = "/mcp",
): Promise<{ status: number; body: string; headers: IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent: false,
        host: "127.0.0.1",
        port: url.port,
        path,
        method: path === "/health" ? "GET" : "POST",
        headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
      },
      (answer) => {
        let text = "";
        answer
          .setEncoding("utf8")
          .on("data", (piece: string) => {
            text += piece;
          })
          .on("end", () => resolve({ status: answer.statusCode ?? 0, body: text, headers: answer.headers }));
      },
    );
    sent.on("error", reject);
    sent.end(path === "/health" ? undefined : body);
  });
}

test("the token file is the owner's alone", () => {
  expect(statSync(join(home, "token")).mode & 0o777).toBe(0o600);
});

test("Host, then Origin, then token, then size", async () => {
  const authorization = `Bearer ${token}`;
  const status = async (headers: Record<string, string>, body?: string) => (await post(headers, body)).status;
  expect(await status({ authorization, host: "evil.example.com" })).toBe(403);
  expect(await status({ authorization, origin: "https://evil.example.com" })).toBe(403);
  expect(await status({ authorization, origin: "null" })).toBe(403);
  expect(await status({})).toBe(401);
  expect(await status({ authorization: `Bearer ${token}x` })).toBe(401);
  expect(await status({ authorization: "Bearer " })).toBe(401);
  expect(await status({ authorization, origin: "http://localhost:5173" })).toBe(200);
  const large = await post({ authorization }, " ".repeat(4 * 1024 * 1024 + 1));
  expect([large.status, large.body]).toEqual([413, expect.stringContaining("4 MB")]);
});

test("a call without MCP: the same guards, the envelope as the body, a status that follows its code", async () => {
  const authorization = `Bearer ${token}`;
  const call = async (tool: string, body: string, headers: Record<string, string> = { authorization }) => {
    const answer = await post(headers, body, `/call/${tool}`);
    return { ...answer, json: (answer.body.startsWith("{") ? JSON.parse(answer.body) : {}) as { ok?: boolean; error?: { code: string; message: string } } };
  };
  expect((await call("pm_health", "", {})).status).toBe(401);
  expect((await call("pm_health", "", { authorization, host: "evil.example.com" })).status).toBe(403);
  expect((await call("pm_health", "", { authorization, origin: "https://evil.example.com" })).status).toBe(403);
  expect((await call("pm_task", " ".repeat(4 * 1024 * 1024 + 1))).status).toBe(413);
  // Its length was not said.
  expect((await call("pm_task", " ".repeat(4 * 1024 * 1024 + 1), { authorization, "transfer-encoding": "chunked" })).status).toBe(413);

  const answered = await call("pm_generate_ulid", '{"count": 2}', { authorization, "transfer-encoding": "chunked" });
  expect([answered.status, answered.headers["content-type"], answered.json]).toMatchObject([
    200,
    "application/json",
    { ok: true, data: { ulids: [expect.any(String), expect.any(String)] } },
  ]);
  expect((await call("pm_health", "")).json).toMatchObject({ ok: true });
  const refusals = await Promise.all([
    call("pm_session", "{"),
    call("pm_session", "[]"),
    call("pm_session", '{"action": "fly"}'),
    call("pm_session", '{"action": "get", "sessionUlid": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}'),
    call("pm_nothing", "{}"),
    call("__proto__", "{}"),
  ]);
  expect(refusals.map(({ status, json }) => [status, json.error?.code])).toEqual([
    [400, "INVALID_ARGUMENT"],
    [400, "INVALID_ARGUMENT"],
    [400, "UNKNOWN_ACTION"],
    [404, "NOT_FOUND"],
    [404, "NOT_FOUND"],
    [404, "NOT_FOUND"],
  ]);
  expect(refusals[4]?.json.error?.message).toContain("pm_session_read");
});

test("/health needs no token and tells readiness; no host worker is up here", async () => {
  expect(await post({}, undefined, "/health")).toMatchObject({ status: 503, body: '{"status":"degraded"}' });
});

test("a client lists the tools and calls them over HTTP", async () => {
  const client = new Client({ name: "t", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers: { authorization: `Bearer ${token}` } } }));
  const { tools } = await client.listTools();
  expect(tools.map((tool) => tool.name)).toEqual(["pm_session", "pm_session_read", "pm_task", "pm_provider", "pm_health", "pm_generate_ulid"]);
  expect((await client.callTool({ name: "pm_session", arguments: { action: "list" } })).structuredContent).toEqual({
    ok: true,
    action: "list",
    data: { sessions: [] },
  });
  expect(await client.callTool({ name: "pm_session", arguments: { action: "get", sessionUlid: "X-1/executor-1" } })).toMatchObject({
    isError: true,
    structuredContent: { ok: false, error: { code: "NOT_FOUND" } },
  });
  expect(await client.callTool({ name: "pm_session", arguments: { action: "get", nonsense: 1 } })).toMatchObject({
    isError: true,
    structuredContent: { error: { code: "INVALID_ARGUMENT", field: "nonsense" } },
  });
  expect((await client.callTool({ name: "pm_health", arguments: {} })).structuredContent).toMatchObject({
    data: { postgres: { status: "ok" }, temporal: { status: "ok" } },
  });
  await client.close();
});

test("stdio answers the handshake while nothing runs, and every call says what to start", async () => {
  const empty = temporaryHome();
  const client = new Client({ name: "t", version: "1" });
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [join(root, "mcp-gateway/stdio-main.ts")],
      env: { PATH: process.env["PATH"] ?? "", BATON_HOME: empty },
    }),
  );
  const result = await client.callTool({ name: "pm_session", arguments: { action: "list" } });
  expect(result).toMatchObject({ isError: true, structuredContent: { error: { code: "UNAVAILABLE", message: expect.stringContaining("npm start") } } });
  await client.close();
});

test("stdio writes JSON-RPC to stdout and nothing else, and ends with its stdin", async () => {
  const child = spawn(process.execPath, [join(root, "mcp-gateway/stdio-main.ts")], {
    env: { PATH: process.env["PATH"], BATON_HOME: temporaryHome() },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    out += piece;
  });
  const say = (message: unknown) => child.stdin.write(`${typeof message === "string" ? message : JSON.stringify(message)}\n`);
  const info = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  say({ jsonrpc: "2.0", id: 1, method: "initialize", params: info });
  say({ jsonrpc: "2.0", method: "notifications/initialized" });
  say("this is no JSON");
  say({ jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "pm_session", arguments: { action: "list" } } });
  say({ jsonrpc: "2.0", id: 3, method: "no/such/method" });
  say({ jsonrpc: "2.0", id: 4, method: "tools/list" });
  const answers = () =>
    out
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { jsonrpc: string; id?: number });
  await until("all answers", () => [1, 2, 3, 4].every((id) => answers().some((answer) => answer.id === id)));
  expect(answers().every((answer) => answer.jsonrpc === "2.0")).toBe(true);
  child.stdin.end();
  expect(await ended).toBe(0);
});

function temporaryHome(): string {
  return join(home, "empty");
}
