import { join } from "node:path";
import type { Caller } from "../../client/open-baton.ts";
import { BatonError } from "../../contracts/failures.ts";
import { testFixtures } from "../../mcp-gateway/fixtures.ts";
import { waitLimit } from "../../mcp-gateway/long-polls.ts";
import { tools } from "../../mcp-gateway/registry/index.ts";
import { bothRevisions } from "../../mcp-gateway/revisions.ts";
import { createServer } from "../../mcp-gateway/server.ts";
import type { SessionLimits } from "../../mcp-gateway/sessionful.ts";

const alice: Caller = { principal: "alice" };
const bob: Caller = { principal: "bob" };
const list = { jsonrpc: "2.0", id: 2, method: "tools/list" };

/** The door behind the token check, without a socket; there is no Baton behind it. `built`: how many servers it made. */
function door(sessions: Partial<SessionLimits> = {}) {
  const made = { built: 0 };
  const mcp = bothRevisions({
    build: (caller) => {
      made.built += 1;
      const baton = () => Promise.reject(new BatonError("UNAVAILABLE", "none runs"));
      return createServer({ baton, caller, report: () => {}, waits: waitLimit(1, 1), progressMs: 10_000 });
    },
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
  const few = door({ mostOfOne: 1 });
  const [first, second] = [await few.begin(alice), await few.begin(alice)];
  expect(few.made.built).toBe(2);
  expect((await few.send(alice, list, second)).status).toBe(200);
  expect(few.made.built).toBe(2);
  expect((await few.send(alice, list, first)).text).toContain("pm_session");
  expect(few.made.built).toBe(3);
  await few.close();
});

test("two requests at once open a session once", async () => {
  const session = await door().begin(alice);
  const other = door();
  const answers = await Promise.all([1, 2, 3].map(() => other.send(alice, list, session)));
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
