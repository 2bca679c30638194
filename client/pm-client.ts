import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

/** An answer as the door sends it. */
export interface Envelope {
  ok: boolean;
  action?: string;
  data?: Record<string, unknown>;
  page?: { nextCursor: string };
  warnings?: string[];
  next?: { tool: string; args: Record<string, unknown>; why: string }[];
  error?: { code: string; message: string; retryable?: boolean; [more: string]: unknown };
}

/** `pm_session` and its siblings over MCP: what the demo and the command line are made of. */
export interface PmClient {
  /** `data` of a successful answer. Error: PmError with the server's code and sentence. */
  call(tool: string, args: Record<string, unknown>, signal?: AbortSignal): Promise<Record<string, unknown>>;
  /** The whole answer, a refusal too. Error: no answer came. */
  send(tool: string, args: Record<string, unknown>, signal?: AbortSignal): Promise<Envelope>;
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

/** Nobody answers there, or not to this token. */
export class NoBaton extends Error {}

/** Longest time that an answer may take beyond the call's own `waitMs`. */
const patienceMs = 60_000;

/** Connects to `<url>/mcp` with a bearer token. Error: NoBaton, a sentence that names the address. */
export async function connectPm(url: string, token: string): Promise<PmClient> {
  const client = new Client({ name: "baton", version: "1" }, { versionNegotiation: { mode: "auto" } });
  const transport = new StreamableHTTPClientTransport(new URL("/mcp", url), { requestInit: { headers: { authorization: `Bearer ${token}` } } });
  try {
    await client.connect(transport);
  } catch (error) {
    await client.close().catch(() => {});
    const status = httpStatus(error);
    if (status === 401 || status === 403) throw new NoBaton(`The Baton at ${url} refused the token in BATON_TOKEN (HTTP ${status}).`);
    throw new NoBaton(`No Baton answers at ${url}/mcp (${rootMessage(error)}). Start one with "npm start".`);
  }
  const send: PmClient["send"] = async (tool, args, signal) => {
    const timeout = patienceMs + (Number(args["waitMs"]) || 0);
    const answer = await client.callTool({ name: tool, arguments: args }, { timeout, ...(signal ? { signal } : {}) });
    const text = Array.isArray(answer.content) ? answer.content.map((part) => (part.type === "text" ? part.text : "")).join("") : "";
    const envelope = (answer.structuredContent ?? parse(text)) as Envelope | undefined;
    if (envelope?.ok === true && answer.isError !== true) return envelope;
    const error = envelope?.error ?? { code: "INTERNAL", message: text || `${tool} gave no answer` };
    return { ...envelope, ok: false, error };
  };
  return {
    send,
    async call(tool, args, signal) {
      const { ok, data, error } = await send(tool, args, signal);
      if (!ok) throw new PmError(error?.code ?? "INTERNAL", error?.message ?? `${tool} gave no answer`);
      return data ?? {};
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
