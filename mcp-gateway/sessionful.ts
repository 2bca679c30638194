import {
  isInitializeRequest,
  legacyStatelessFallback,
  type McpServer,
  type Server,
  SUPPORTED_PROTOCOL_VERSIONS,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import { type Caller, ownerOf } from "../client/caller.ts";
import { eventRing } from "./event-ring.ts";
import { refusal } from "./request-body.ts";
import { sessionIds } from "./session-ids.ts";

export interface SessionLimits {
  /** a session without a new request leaves memory after so long, ms; above the longest call, which is an agent's wait of an hour */
  idleMs: number;
  /** at most so many in memory, and of one owner; above, the least recently used one leaves */
  most: number;
  mostOfOne: number;
}
const usual: SessionLimits = { idleMs: 2 * 3_600_000, most: 512, mostOfOne: 64 };
const ringBytes = 16 * 1024 * 1024;
/** Revisions whose clients may say what they agreed on; the newest is offered to one that asks for another. */
const revisions = SUPPORTED_PROTOCOL_VERSIONS.filter((version) => version < "2026");

interface Session {
  owner: string;
  transport: WebStandardStreamableHTTPServerTransport;
  usedAt: number;
}

/**
 * MCP before 2026 over HTTP: sessions, each of the caller who opened it. For anybody else its id is not there (404).
 * A session that this process does not know (it was opened at a gateway that is gone, or left memory) is opened again from its id:
 * it holds nothing but the agreed revision. A request without a session is served on its own.
 */
export function sessionful(a: { build: (caller: Caller) => McpServer | Server; secret: string; largestBody: number; limits?: Partial<SessionLimits> }) {
  const limits = { ...usual, ...a.limits };
  const ids = sessionIds(a.secret);
  const ring = eventRing(ringBytes);
  /** opening or open */
  const sessions = new Map<string, Promise<Session>>();
  /** open, the least recently used first: maps keep the order of insertion, and a use inserts anew */
  const current = new Map<string, Session>();
  /** closed here by their clients: not opened again */
  const deleted = new Set<string>();

  async function open(id: string, caller: Caller): Promise<Session> {
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => id,
      eventStore: ring.of(id),
      retryInterval: 1_000,
      maxRequestBodySize: a.largestBody,
      onsessionclosed: () => {
        forget(id);
        deleted.add(id);
        for (const oldest of deleted) if (deleted.size > 10_000) deleted.delete(oldest);
      },
    });
    await a.build(caller).connect(transport);
    const session = { owner: ownerOf(caller), transport, usedAt: Date.now() };
    makeRoom(session.owner);
    current.set(id, session);
    return session;
  }

  /** What its client agreed on with the gateway that opened it. */
  async function openAgain(id: string, version: string, caller: Caller): Promise<Session> {
    const session = await open(id, caller);
    const params = { protocolVersion: version, capabilities: {}, clientInfo: { name: "reopened", version: "1" } };
    await tell(session, { jsonrpc: "2.0", id: "reopen", method: "initialize", params });
    await tell(session, { jsonrpc: "2.0", method: "notifications/initialized" }, { "mcp-session-id": id, "mcp-protocol-version": version });
    return session;
  }

  function find(id: string, caller: Caller): Promise<Session> | undefined {
    const version = ids.versionOf(id, ownerOf(caller));
    if (version === null || deleted.has(id)) return undefined;
    const found = sessions.get(id) ?? openAgain(id, version, caller);
    sessions.set(id, found);
    found.catch(() => forget(id));
    return found;
  }

  function forget(id: string): void {
    sessions.delete(id);
    current.delete(id);
  }

  function retire(id: string): void {
    const { transport } = current.get(id) ?? {};
    forget(id);
    void transport?.close();
  }

  function retireIdle(): void {
    const now = Date.now();
    for (const [id, { usedAt }] of current) if (now - usedAt > limits.idleMs) retire(id);
  }

  /** For one more of this owner. */
  function makeRoom(owner: string): void {
    retireIdle();
    const own = [...current].filter(([, session]) => session.owner === owner);
    if (own.length >= limits.mostOfOne) retire(own[0]?.[0] ?? "");
    else if (current.size >= limits.most) retire([...current.keys()][0] ?? "");
  }

  // Every minute, so that those nobody comes back to leave too.
  const sweep = setInterval(retireIdle, 60_000).unref();
  return {
    /** `parsedBody`: of a POST, which has been read */
    async fetch(request: Request, caller: Caller, parsedBody: unknown): Promise<Response> {
      const id = request.headers.get("mcp-session-id");
      if (id !== null) {
        const session = await find(id, caller);
        if (session === undefined) return refusal(404, -32001, "There is no such session: initialize a new one.");
        session.usedAt = Date.now();
        if (current.delete(id)) current.set(id, session);
        return session.transport.handleRequest(request, { parsedBody });
      }
      if (request.method !== "POST") return refusal(400, -32000, "Send the Mcp-Session-Id that initialize answered.");
      if (!isInitializeRequest(parsedBody)) return legacyStatelessFallback(() => a.build(caller))(request, { parsedBody });
      const asked = parsedBody.params.protocolVersion;
      const made = ids.make(ownerOf(caller), revisions.includes(asked) ? asked : (revisions[0] ?? ""));
      const session = open(made, caller);
      sessions.set(made, session);
      return (await session).transport.handleRequest(request, { parsedBody });
    },
    close(): void {
      clearInterval(sweep);
      for (const id of current.keys()) retire(id);
    },
  };
}

async function tell({ transport }: Session, message: unknown, headers: Record<string, string> = {}): Promise<void> {
  const request = new Request("http://127.0.0.1/mcp", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json, text/event-stream", ...headers },
  });
  await (await transport.handleRequest(request, { parsedBody: message })).text();
}
