import { createMcpHandler, isLegacyRequest, type McpServer, type ServerEventBus } from "@modelcontextprotocol/server";
import type { Caller } from "../client/open-baton.ts";
import { sessionful, type SessionLimits } from "./sessionful.ts";

export interface Revisions {
  /** Serves one request for a caller whose credential was checked. */
  fetch(request: Request, caller: Caller): Promise<Response>;
  close(): Promise<void>;
}

/** Both revisions of MCP over HTTP, from one factory: 2026-07-28, an instance per request, and those of 2025, an instance per session. */
export function bothRevisions(a: {
  build: (caller: Caller) => McpServer;
  /** signs the ids of sessions; the same in every gateway of a Baton */
  secret: string;
  /** bytes */
  largestBody: number;
  sessions?: Partial<SessionLimits>;
  /** what subscriptions hear */
  bus?: ServerEventBus | undefined;
}): Revisions {
  const size = { maxRequestBodySize: a.largestBody };
  const modern = createMcpHandler(({ authInfo }) => a.build(authInfo?.extra?.["caller"] as Caller), {
    legacy: "reject",
    ...size,
    ...(a.bus ? { bus: a.bus } : {}),
  });
  const before = sessionful({ build: a.build, secret: a.secret, largestBody: a.largestBody, ...(a.sessions ? { limits: a.sessions } : {}) });
  return {
    async fetch(request, caller) {
      if (await isLegacyRequest(request, undefined, size)) return before.fetch(request, caller);
      return modern.fetch(request, { authInfo: { token: "", clientId: caller.principal, scopes: [], extra: { caller } } });
    },
    async close() {
      before.close();
      await modern.close();
    },
  };
}
