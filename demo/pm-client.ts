import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

/** `pm_session` and its siblings over MCP. */
export interface PmClient {
  /** `data` of a successful answer. Error: PmError with the server's code and sentence. */
  call(tool: string, args: Record<string, unknown>, signal?: AbortSignal): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

/** A refusal, in the server's own words. */
export class PmError extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.name = "PmError";
    this.code = code;
  }
}

/** Connects to `<url>/mcp` with a bearer token. Error: a sentence that names the address. */
export async function connectPm(url: string, token: string): Promise<PmClient> {
  const client = new Client({ name: "baton-demo", version: "1" }, { versionNegotiation: { mode: "auto" } });
  const transport = new StreamableHTTPClientTransport(new URL("/mcp", url), { requestInit: { headers: { authorization: `Bearer ${token}` } } });
  try {
    await client.connect(transport);
  } catch (error) {
    await client.close().catch(() => {});
    const status = httpStatus(error);
    if (status === 401 || status === 403) throw new Error(`The Baton at ${url} refused the token in BATON_TOKEN (HTTP ${status}).`);
    throw new Error(`No Baton answers at ${url}/mcp (${rootMessage(error)}). Start one with "npm start".`);
  }
  return {
    async call(tool, args, signal) {
      const answer = await client.callTool({ name: tool, arguments: args }, { timeout: 60_000, ...(signal ? { signal } : {}) });
      const text = Array.isArray(answer.content) ? answer.content.map((part) => (part.type === "text" ? part.text : "")).join("") : "";
      const envelope = (answer.structuredContent ?? parse(text)) as
        | { ok?: boolean; data?: Record<string, unknown>; error?: { code?: string; message?: string } }
        | undefined;
      if (answer.isError === true || envelope?.ok !== true)
        throw new PmError(envelope?.error?.code ?? "INTERNAL", envelope?.error?.message ?? (text || `${tool} gave no answer`));
      return envelope.data ?? {};
    },
    close: () => client.close(),
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function httpStatus(error: unknown): number | undefined {
  for (let e = error as { status?: unknown; code?: unknown; data?: { status?: unknown }; cause?: unknown } | undefined; e; e = e.cause as typeof e) {
    for (const value of [e.status, e.code, e.data?.status]) if (typeof value === "number" && value >= 400 && value < 600) return value;
  }
  return undefined;
}

function rootMessage(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
