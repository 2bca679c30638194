import { join } from "node:path";
import type { Caller } from "../../client/open-baton.ts";
import { BatonError } from "../../contracts/failures.ts";
import { testFixtures } from "../../mcp-gateway/fixtures.ts";
import { waitLimit } from "../../mcp-gateway/long-polls.ts";
import { tools } from "../../mcp-gateway/registry/index.ts";
import { bothRevisions } from "../../mcp-gateway/revisions.ts";
import { createServer, subscribe } from "../../mcp-gateway/server.ts";
import type { Subscribe } from "../../mcp-gateway/session-news.ts";
import type { SessionLimits } from "../../mcp-gateway/sessionful.ts";
import { until } from "../support/until.ts";

const alice: Caller = { principal: "alice" };
const bob: Caller = { principal: "bob" };
const list = { jsonrpc: "2.0", id: 2, method: "tools/list" };

/** The door behind the token check, without a socket; there is no Baton behind it. `built`: how many servers it made. */
function door(sessions: Partial<SessionLimits> = {}, news?: (caller: Caller) => Subscribe) {
  const made = { built: 0 };
  const baton = () => Promise.reject(new BatonError("UNAVAILABLE", "none runs"));
  const parts = (caller: Caller) => ({ baton, caller, report: () => {}, waits: waitLimit(1, 1), progressMs: 10_000 });
  const mcp = bothRevisions({
    build: (caller) => {
      made.built += 1;
      return createServer(parts(caller), { subscribable: true });
    },
    subscribe: news ?? ((caller) => subscribe(parts(caller))),
    secret: "the same in every gateway",
    largestBody: 100_000,
    sessions,
  });
  const send = async (caller: Caller, body: unknown, headers: Record<string, string> = {}) => {
    const answer = await mcp.fetch(
      new Request("http://127.0.0.1/mcp", {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
        body: JSON.stringify(body),
      }),
      caller,
    );
    return { status: answer.status, session: { "mcp-session-id": answer.headers.get("mcp-session-id") ?? "" }, text: await answer.text() };
  };
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  const begin = async (caller: Caller) => (await send(caller, { jsonrpc: "2.0", id: 1, method: "initialize", params })).session;
  return { ...mcp, made, send, begin };
}

test("a session is its caller's alone: nobody else's, and not the same one's with another credential", async () => {
  const { send, begin, close } = door();
  const session = await begin(alice);
  expect((await send(alice, list, session)).status).toBe(200);
  expect((await send(bob, list, session)).status).toBe(404);
  expect((await send({ ...alice, actor: "@less" }, list, session)).status).toBe(404);
  await close();
  const elsewhere = door();
  expect((await elsewhere.send(bob, list, session)).status).toBe(404);
  expect((await elsewhere.send(alice, list, session)).status).toBe(200);
  await elsewhere.close();
});

test("a session that left memory, for room or for age, is opened again by its next request", async () => {
  for (const limits of [{ mostOfOne: 1 }, { most: 1 }, { idleMs: 1 }]) {
    const { send, begin, made, close } = door(limits);
    const first = await begin(alice);
    const begun = Date.now();
    await until("more than the age", () => Date.now() > begun + 2);
    const second = await begin(alice);
    expect(made.built).toBe(2);
    expect((await send(alice, list, first)).text).toContain("pm_session");
    expect(made.built).toBe(3);
    expect((await send(alice, list, second)).status).toBe(200);
    await close();
  }
});

test("a door that closes ends the streams of its sessions", async () => {
  const { fetch, begin, close } = door();
  const headers = { accept: "text/event-stream", ...(await begin(alice)) };
  const stream = await fetch(new Request("http://127.0.0.1/mcp", { headers }), alice);
  expect(stream.status).toBe(200);
  await close();
  expect(await stream.text()).toBe("");
});

test("a stream of 2026 hears what its own caller may hear, whoever else listens for the same", async () => {
  const uri = "session://01ARZ3NDEKTSV4RRFFQ69G5FAV";
  const tell = new Map<string, () => void>();
  let left = 0;
  const { fetch, close } = door({}, ({ principal }) => (wanted) => {
    if (principal !== "alice" || wanted !== uri) return Promise.reject(new BatonError("NOT_FOUND", "not yours"));
    return Promise.resolve({ uri, start: (say) => tell.set(principal, say), stop: () => (left += 1) });
  });
  const listen = async (caller: Caller, uris: string[]) => {
    const answer = await fetch(
      new Request("http://127.0.0.1/mcp", {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          "mcp-protocol-version": "2026-07-28",
          "mcp-method": "subscriptions/listen",
        },
        body: JSON.stringify({
          jsonrpc: "2.0",
          id: 1,
          method: "subscriptions/listen",
          params: {
            notifications: { resourceSubscriptions: uris },
            _meta: { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} },
          },
        }),
      }),
      caller,
    );
    const heard = { text: "" };
    void answer.body?.pipeThrough(new TextDecoderStream() as never).pipeTo(
      new WritableStream<string>({
        write: (piece) => {
          heard.text += piece;
        },
      }),
    );
    await until("acknowledged", () => heard.text.includes("acknowledged"));
    return heard;
  };
  const [hers, his] = [await listen(alice, [uri, "session://other"]), await listen(bob, [uri])];
  expect(hers.text).toContain(`"resourceSubscriptions":["${uri}"]`);
  expect(his.text).not.toContain(uri);
  tell.get("alice")?.();
  await until("she hears", () => hers.text.includes("notifications/resources/updated"));
  expect(his.text).not.toContain("updated");
  expect(left).toBe(0);
  await close();
  await until("her place is free", () => left === 1);
});

test("two requests at once open a session once", async () => {
  const session = await door().begin(alice);
  const other = door();
  const answers = await Promise.all([1, 2, 3].map((id) => other.send(alice, { ...list, id }, session)));
  expect(answers.map((answer) => answer.status)).toEqual([200, 200, 200]);
  expect(other.made.built).toBe(1);
  await other.close();
});

describe("what is published", () => {
  async function published() {
    const { send, close } = door();
    const { text } = await send(alice, list);
    await close();
    const json = text.startsWith("{") ? text : (/^data: (\{.*)$/m.exec(text)?.[1] ?? "");
    return (JSON.parse(json) as { result: { tools: { name: string; description: string; inputSchema: Schema; annotations: Record<string, boolean> }[] } })
      .result.tools;
  }

  test("is what it was; after a wanted change: npm test -- -u test/mcp-gateway/published", async () => {
    expect(await published()).toMatchSnapshot();
  });

  test("is the same every time, and the registry's and nothing else", async () => {
    const shown = await published();
    expect(JSON.stringify(await published())).toBe(JSON.stringify(shown));
    expect(shown.map((tool) => tool.name)).toEqual(tools.map((tool) => tool.name));
    expect(await testFixtures({})).toBeUndefined();
  });

  test("fits what hosts take", async () => {
    for (const { name, description, inputSchema, annotations } of await published()) {
      expect(name).toMatch(/^[a-z_]{1,50}$/);
      expect(Buffer.byteLength(description)).toBeLessThan(2_048);
      expect(Buffer.byteLength(JSON.stringify(inputSchema))).toBeLessThanOrEqual(9 * 1_024);
      expect(inputSchema).toMatchObject({ type: "object", additionalProperties: false, properties: expect.any(Object) });
      expect(Object.keys(annotations).sort()).toEqual(["destructiveHint", "idempotentHint", "openWorldHint", "readOnlyHint"]);
      for (const property of Object.values(inputSchema.properties ?? {})) expect(property.description).toEqual(expect.stringMatching(/./));
      plain(inputSchema);
    }
  });
});

test("the conformance fixtures come only with their switch", async () => {
  const fixtures = await testFixtures({ BATON_MCP_FIXTURES: join(import.meta.dirname, "../conformance/fixtures.ts") });
  expect(typeof fixtures?.register).toBe("function");
});

interface Schema {
  type?: unknown;
  description?: unknown;
  properties?: Record<string, Schema>;
  items?: unknown;
  [key: string]: unknown;
}

/** No combinators, references, lists of types, tuples or empty schemas, at any depth. */
function plain(schema: Schema): void {
  expect(["object", "array", "string", "integer", "number", "boolean"]).toContain(schema.type);
  for (const key of Object.keys(schema)) expect(["type", "description", "properties", "required", "additionalProperties", "items", "enum"]).toContain(key);
  if (schema.items !== undefined) {
    expect(Array.isArray(schema.items)).toBe(false);
    plain(schema.items as Schema);
  }
  for (const property of Object.values(schema.properties ?? {})) plain(property);
}
