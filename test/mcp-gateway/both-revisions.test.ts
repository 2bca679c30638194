import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { freshStore, talking } from "../store/rows.ts";
import { endNodeProcesses, type NodeProcess, nodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";

const home = temporaryDirectory();
const root = join(import.meta.dirname, "../..");
let fresh: Awaited<ReturnType<typeof freshStore>>;
let token: string;
/** Two doors of one database. */
let one: { process: NodeProcess; url: URL };
let two: { process: NodeProcess; url: URL };
let env: Record<string, string>;
const open: Client[] = [];

beforeAll(async () => {
  fresh = await freshStore();
  env = {
    BATON_HOME: home,
    BATON_PORT: "0",
    BATON_INSTANCE: "test",
    BATON_HOST_ID: "h1",
    BATON_PROGRESS_MS: "100",
    BATON_WAITS: "4",
    DATABASE_URL: fresh.url,
    TEMPORAL_ADDRESS: process.env["TEST_TEMPORAL_ADDRESS"] ?? "",
  };
  [one, two] = await Promise.all([gateway(), gateway()]);
  token = readFileSync(join(home, "token"), "utf8").trim();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((client) => client.close().catch(() => {})));
});
afterAll(async () => {
  await endNodeProcesses();
  await fresh?.end();
});

async function gateway(): Promise<{ process: NodeProcess; url: URL }> {
  const started = nodeProcess(join(root, "mcp-gateway/main.ts"), { env });
  return { process: started, url: new URL((JSON.parse((await started.line(/^ready (.*)$/m))[1] ?? "{}") as { url: string }).url) };
}

type Era = "legacy" | "auto";
async function client(mode: Era, door: URL | "stdio" = one.url): Promise<Client> {
  const made = new Client({ name: "t", version: "1" }, { versionNegotiation: { mode } });
  const transport =
    door === "stdio"
      ? new StdioClientTransport({
          command: process.execPath,
          args: [join(root, "mcp-gateway/stdio-main.ts")],
          env: { PATH: process.env["PATH"] ?? "", ...env },
        })
      : new StreamableHTTPClientTransport(door, { requestInit: { headers: { authorization: `Bearer ${token}` } } });
  await made.connect(transport);
  open.push(made);
  return made;
}

/** What a call of pm_session answers. */
async function call(by: Client, args: Record<string, unknown>, options: Parameters<Client["callTool"]>[1] = {}) {
  return (await by.callTool({ name: "pm_session", arguments: args }, options)).structuredContent as {
    ok: boolean;
    data: Record<string, unknown> & { events: { seq: number }[]; nextSeq: number };
    error: { code: string; retryAfterMs?: number };
  };
}

const session = (...texts: string[]) => talking(fresh.store, ...texts);

const eras: [string, Era, RegExp][] = [
  ["2025-11-25", "legacy", /^2025-11-25$/],
  ["2026-07-28", "auto", /^2026-07-28$/],
];

describe.each(eras)("a client of %s", (_name, era, agreed) => {
  test.each(["HTTP", "stdio"])("lists and calls over %s", async (way) => {
    const by = await client(era, way === "stdio" ? "stdio" : one.url);
    expect(by.getNegotiatedProtocolVersion()).toMatch(agreed);
    expect((await by.listTools()).tools.map((tool) => tool.name)).toContain("pm_session_read");
    expect(await call(by, { action: "approvals" })).toMatchObject({ ok: true });
    expect(await call(by, { action: "get", sessionUlid: "X-1/executor-1" })).toMatchObject({ ok: false, error: { code: "NOT_FOUND" } });
  });

  test("hears how it stands while it waits, and gets the event that ends the wait", async () => {
    const { ulid, lastSeq, more } = await session("before");
    const heard: { progress: number; message?: string | undefined }[] = [];
    const waiting = call(
      await client(era),
      { action: "events", sessionUlid: ulid, sinceSeq: lastSeq, waitMs: 25_000 },
      { onprogress: (news) => heard.push(news) },
    );
    await until("three words of progress", () => heard.length >= 3);
    await more("after");
    expect((await waiting).data.events.map((event) => event.seq)).toEqual([lastSeq + 1]);
    expect(heard.map((news) => news.progress)).toEqual(heard.map((_, n) => n + 1));
    expect(heard[0]?.message).toMatch(new RegExp(`^[a-z]+ · seq ${lastSeq}$`));
  });

  test("waits with so many calls at once and no more; a call it gives up makes room", async () => {
    const { ulid, lastSeq } = await session("x");
    const by = await client(era);
    const news = { action: "live_deltas", sessionUlid: ulid, sinceSeq: lastSeq + 100, waitMs: 25_000 };
    const ends = Array.from({ length: 4 }, () => new AbortController());
    const words = ends.map(() => 0);
    const waiting = ends.map((end, n) => call(by, news, { signal: end.signal, onprogress: () => (words[n]! += 1) }).catch(() => "given up"));
    await until("all four wait", () => words.every((count) => count > 0));
    expect(await call(by, news)).toMatchObject({ ok: false, error: { code: "RATE_LIMITED", retryAfterMs: expect.any(Number) } });
    expect(await call(by, { ...news, waitMs: 0 })).toMatchObject({ ok: true });
    for (const end of ends) end.abort();
    expect(await Promise.all(waiting)).toEqual(Array(4).fill("given up"));
    await until("room again", async () => (await call(by, { ...news, waitMs: 1 })).ok);
  });

  test("goes on at another door when its own is killed in the middle of a poll: nothing is lost, nothing comes twice", async () => {
    const { ulid, lastSeq, more } = await session("one", "two");
    const doomed = await gateway();
    const by = await client(era, doomed.url);
    const seen = (await call(by, { action: "events", sessionUlid: ulid, sinceSeq: 0 })).data.events.map((event) => event.seq);
    let words = 0;
    const poll = call(by, { action: "events", sessionUlid: ulid, sinceSeq: lastSeq, waitMs: 25_000 }, { onprogress: () => (words += 1) });
    const lost = poll.then(
      () => "answered",
      () => "lost",
    );
    await until("the poll waits", () => words > 0);
    doomed.process.signal("SIGKILL");
    await doomed.process.ended;
    await more("three", "four");
    // A client of 2025 would look for its stream until its time is up.
    await by.close();
    expect(await lost).toBe("lost");
    const again = await call(await client(era, two.url), { action: "events", sessionUlid: ulid, sinceSeq: lastSeq, waitMs: 25_000 });
    expect([...seen, ...again.data.events.map((event) => event.seq)]).toEqual(Array.from({ length: lastSeq + 2 }, (_, n) => n + 1));
  });
});

describe("sessions of 2025", () => {
  async function http(door: URL, method: string, body: unknown, headers: Record<string, string> = {}) {
    const answer = await fetch(door, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
      ...(body === null ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, session: answer.headers.get("mcp-session-id") ?? "", text: await answer.text() };
  }
  const list = { jsonrpc: "2.0", id: 2, method: "tools/list" };
  const initialize = (protocolVersion: string) => ({
    jsonrpc: "2.0",
    id: 1,
    method: "initialize",
    params: { protocolVersion, capabilities: {}, clientInfo: { name: "t", version: "1" } },
  });

  test("a session is known at every door, until its client ends it; a forged id is not", async () => {
    const begun = await http(one.url, "POST", initialize("2025-06-18"));
    expect([begun.status, begun.text]).toEqual([200, expect.stringContaining('"protocolVersion":"2025-06-18"')]);
    const headers = { "mcp-session-id": begun.session, "mcp-protocol-version": "2025-06-18" };
    for (const door of [one, two, one]) {
      const listed = await http(door.url, "POST", list, headers);
      expect([listed.status, listed.text]).toEqual([200, expect.stringContaining("pm_session")]);
    }
    expect((await http(one.url, "POST", list, { ...headers, "mcp-session-id": begun.session.replace("2025-06-18", "2025-11-25") })).status).toBe(404);
    expect((await http(one.url, "POST", list, { ...headers, "mcp-session-id": "nonsense" })).status).toBe(404);
    expect((await http(one.url, "DELETE", null, headers)).status).toBe(200);
    expect((await http(one.url, "POST", list, headers)).status).toBe(404);
  });

  test("a revision that nobody speaks is answered with the newest of 2025", async () => {
    expect((await http(one.url, "POST", initialize("1999-01-01"))).text).toContain('"protocolVersion":"2025-11-25"');
  });

  test("a request without a session is served on its own; what needs one says so", async () => {
    const alone = await http(one.url, "POST", {
      jsonrpc: "2.0",
      id: 1,
      method: "tools/call",
      params: { name: "pm_session", arguments: { action: "approvals" } },
    });
    expect([alone.status, alone.text]).toEqual([200, expect.stringContaining('\\"ok\\":true')]);
    expect((await http(one.url, "GET", null)).status).toBe(400);
    expect((await http(one.url, "DELETE", null)).status).toBe(400);
  });

  test("who hangs up in the middle of a wait leaves no wait behind", async () => {
    const { ulid, lastSeq } = await session("x");
    const { session: id } = await http(one.url, "POST", initialize("2025-11-25"));
    const headers = {
      "mcp-session-id": id,
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
    };
    const wait = { action: "events", sessionUlid: ulid, sinceSeq: lastSeq, waitMs: 25_000 };
    const hangUp = new AbortController();
    const begun = Array.from({ length: 4 }, (_, n) =>
      fetch(one.url, {
        method: "POST",
        headers,
        signal: hangUp.signal,
        body: JSON.stringify({ jsonrpc: "2.0", id: n + 10, method: "tools/call", params: { name: "pm_session", arguments: wait } }),
      }),
    );
    await Promise.all(begun);
    const by = await client("auto");
    await until("all four wait", async () => (await call(by, { ...wait, waitMs: 1 })).error?.code === "RATE_LIMITED");
    hangUp.abort();
    await until("room again", async () => (await call(by, { ...wait, waitMs: 1 })).ok);
  });

  test("a body that is no JSON is refused, and the door goes on", async () => {
    const broken = await fetch(one.url, { method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": "application/json" }, body: "{" });
    expect([broken.status, await broken.text()]).toEqual([400, expect.stringContaining("-32700")]);
    expect((await http(one.url, "POST", list)).status).toBe(200);
  });
});

test("what is started at one door is there at the other, and the same key never starts it twice", async () => {
  const [here, there] = [await client("auto", one.url), await client("legacy", two.url)];
  const repositoryPath = root;
  const launch = {
    action: "launch_task",
    clientRequestId: "two-doors",
    actor: "@test",
    taskKey: "DOOR-1",
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    task: { title: "x", repositoryPath, projectKey: "DOOR" },
  };
  const first = await call(here, launch);
  expect(first).toMatchObject({ ok: true });
  const sessionUlid = first.data["sessionUlid"];
  expect(await call(there, { action: "get", sessionUlid })).toMatchObject({ ok: true, data: { sessionUlid } });
  expect(await call(there, launch)).toMatchObject({ ok: true, data: { sessionUlid, replayed: true } });
});
