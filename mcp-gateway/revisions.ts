import {
  createMcpHandler,
  InMemoryServerEventBus,
  isLegacyRequest,
  type McpHttpHandler,
  type McpServer,
  type Server,
  type ServerEventBus,
} from "@modelcontextprotocol/server";
import type { Caller } from "../client/open-baton.ts";
import { jsonBody } from "./request-body.ts";
import { busOf, type Subscribe, takeAll } from "./session-news.ts";
import { sessionful, type SessionLimits } from "./sessionful.ts";
import { knowsTasks, needsTasks } from "./task-methods.ts";

export interface Revisions {
  /** Serves one request for a caller whose credential was checked. */
  fetch(request: Request, caller: Caller): Promise<Response>;
  close(): Promise<void>;
}

/** Both revisions of MCP over HTTP, from one factory: 2026-07-28, an instance per request, and those of 2025, an instance per session. */
export function bothRevisions(a: {
  /** `request`: the one of 2026 that the server is for, and the tool that it calls as its headers say; the SDK has compared them with its body */
  build: (caller: Caller, request?: { called: string | null }) => McpServer | Server;
  /** news of resources, for this caller */
  subscribe: (caller: Caller) => Subscribe;
  /** signs the ids of sessions; the same in every gateway of a Baton */
  secret: string;
  /** bytes */
  largestBody: number;
  sessions?: Partial<SessionLimits>;
  /** what every subscription hears */
  bus?: ServerEventBus | undefined;
}): Revisions {
  const size = { maxRequestBodySize: a.largestBody };
  const common = a.bus ?? new InMemoryServerEventBus();
  const serve = (bus: ServerEventBus) =>
    createMcpHandler(({ authInfo }) => a.build(authInfo?.extra?.["caller"] as Caller, { called: authInfo?.extra?.["called"] as string | null }), {
      legacy: "reject",
      bus,
      ...size,
    });
  const authInfo = (caller: Caller, called: string | null = null) => ({ token: "", clientId: caller.principal, scopes: [], extra: { caller, called } });
  const modern = serve(common);
  const listening = new Set<McpHttpHandler>();
  const before = sessionful({ build: a.build, secret: a.secret, largestBody: a.largestBody, ...(a.sessions ? { limits: a.sessions } : {}) });

  /** A stream that names resources has a bus of its own: the SDK's would tell everybody's news to whoever knows the address of a resource. */
  async function listen(request: Request, caller: Caller, body: ListenRequest | null): Promise<Response> {
    const { resourceSubscriptions: uris, taskIds } = body?.params?.notifications ?? {};
    // News of tasks are not sent, whoever asks; but who does not know tasks is told so.
    if (taskIds !== undefined && !knowsTasks(body?.params?._meta)) {
      const { code, message, data } = needsTasks();
      return Response.json({ jsonrpc: "2.0", id: body?.id ?? null, error: { code, message, data } }, { status: 400 });
    }
    if (!Array.isArray(uris) || uris.length === 0) return modern.fetch(request, { authInfo: authInfo(caller), parsedBody: body });
    const taken = await takeAll(a.subscribe(caller), uris.map(String));
    const notifications = { ...body?.params?.notifications, resourceSubscriptions: taken.map((one) => one.uri) };
    let open = false;
    const bus = busOf(taken, common, () => listening.delete(handler));
    const handler = serve({
      ...bus,
      subscribe: (listener) => {
        open = true;
        listening.add(handler);
        return bus.subscribe(listener);
      },
    });
    const answer = await handler.fetch(request, { authInfo: authInfo(caller), parsedBody: { ...body, params: { ...body?.params, notifications } } });
    // Refused before it was a stream.
    if (!open) for (const { stop } of taken) stop();
    return answer;
  }

  return {
    async fetch(request, caller) {
      const body = await jsonBody(request, a.largestBody);
      if (body instanceof Response) return body;
      const { json: parsedBody } = body;
      if (await isLegacyRequest(request, parsedBody, size)) return before.fetch(request, caller, parsedBody);
      const method = request.headers.get("mcp-method");
      if (method === "subscriptions/listen") return listen(request, caller, parsedBody as ListenRequest | null);
      const called = method === "tools/call" ? request.headers.get("mcp-name") : null;
      return modern.fetch(request, { authInfo: authInfo(caller, called), parsedBody });
    },
    async close() {
      before.close();
      await Promise.all([modern, ...listening].map((handler) => handler.close()));
    },
  };
}

interface ListenRequest {
  id?: string | number;
  params?: { _meta?: unknown; notifications?: { resourceSubscriptions?: unknown; taskIds?: unknown } };
}
