import type { IncomingMessage } from "node:http";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Caller } from "../client/open-baton.ts";
import { longestAgentWaitMs } from "../client/wait.ts";
import { oneAtATime } from "./one-at-a-time.ts";
import { plainCall } from "./plain-calls.ts";
import { saidLength } from "./request-body.ts";
import { bothRevisions } from "./revisions.ts";
import { createServer, createToolServer, type ServerParts, subscribe } from "./server.ts";
import type { SessionLimits } from "./sessionful.ts";
import type { Authenticate } from "./token.ts";

interface Env {
  Variables: { caller: Caller };
}

/** Largest request. Bytes. */
const largestBody = 4 * 1024 * 1024;
const loopback = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** Door 1 over HTTP: `/health` without a token, `/mcp` and `/call/<tool>` behind Host, Origin, token and size, in this order. `secret` signs the ids of 2025 sessions. `close` ends its streams. */
export function httpApp(
  parts: Omit<ServerParts, "caller">,
  authenticate: Authenticate,
  secret: string,
  sessions: Partial<SessionLimits> = {},
): { app: Hono<Env>; close(): Promise<void> } {
  const app = new Hono<Env>();
  const mcp = bothRevisions({
    build: (caller, request) =>
      createToolServer({ ...parts, caller }, request?.called ?? null) ??
      createServer({ ...parts, caller }, { subscribable: true, tasks: request !== undefined }),
    subscribe: (caller) => subscribe({ ...parts, caller }),
    secret,
    largestBody,
    sessions,
    bus: parts.fixtures?.bus,
  });

  app.use(async (c, next) => {
    // A page on another name that resolves to loopback (DNS rebinding) sends its own Host; a page of another site sends its Origin.
    if (!isLoopback(`http://${c.req.header("host") ?? ""}`)) return c.json({ error: "This Host is not served here: use 127.0.0.1 or localhost." }, 403);
    const origin = c.req.header("origin");
    if (origin !== undefined && !isLoopback(origin)) return c.json({ error: "Pages of this Origin may not call Baton." }, 403);
    return next();
  });

  app.get("/health", async (c) => {
    const health = await parts
      .baton()
      .then((baton) => baton.health())
      .catch(() => ({ status: "degraded" }));
    return c.json({ status: health.status }, health.status === "ok" ? 200 : 503);
  });

  const guarded = ["/mcp", "/call/*"];
  app.on("ALL", guarded, oneAtATime());
  app.on("ALL", guarded, async (c, next) => {
    const caller = await authenticate(c.req.header("authorization")).catch(() => undefined);
    if (caller === undefined)
      return c.json({ error: "Postgres does not answer, so this token cannot be looked up: try again in a moment." }, 503, { "Retry-After": "2" });
    if (caller === null)
      return c.json({ error: "Send Authorization: Bearer <the token in Baton's token file, or one that is neither revoked nor expired>." }, 401, {
        "WWW-Authenticate": 'Bearer realm="baton"',
      });
    c.set("caller", caller);
    // An agent that waits for its own sessions may wait for an hour, and nothing moves on its connection meanwhile.
    if (caller.session !== undefined) (c.env as { incoming?: IncomingMessage }).incoming?.socket.setTimeout(longestAgentWaitMs + 60_000);
    return next();
  });
  const tooLarge = async (c: Context) => {
    await readAway(c.req.raw.body);
    return c.json({ error: `A request has at most ${largestBody} bytes (4 MB): put long material in a file of the repository.` }, 413);
  };
  const counted = bodyLimit({ maxSize: largestBody, onError: tooLarge });
  app.on("ALL", guarded, async (c, next) => {
    const length = saidLength(c.req.raw);
    if (length === null) return counted(c, next);
    return length > largestBody ? tooLarge(c) : next();
  });
  app.all("/mcp", (c) => mcp.fetch(c.req.raw, c.get("caller")));
  app.post("/call/:tool", (c) => plainCall({ ...parts, caller: c.get("caller") }, c, largestBody));
  app.notFound((c) => c.json({ error: "Not here: POST /mcp, POST /call/<tool> and GET /health are." }, 404));
  return { app, close: () => mcp.close() };
}

/** A caller that still writes when we hang up sees a broken pipe instead of the sentence: take the rest, up to a bound, and forget it. */
async function readAway(body: ReadableStream<Uint8Array> | null): Promise<void> {
  if (body === null || body.locked) return;
  let rest = 16 * largestBody;
  try {
    for await (const chunk of body) if ((rest -= chunk.byteLength) < 0) return;
  } catch {
    // The caller hung up first.
  }
}

function isLoopback(url: string): boolean {
  const parsed = URL.parse(url);
  return parsed !== null && parsed.protocol.startsWith("http") && loopback.has(parsed.hostname);
}
