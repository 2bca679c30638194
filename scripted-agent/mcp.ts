import type { Client as McpClient } from "@modelcontextprotocol/client";

/** An MCP server as ACP's `session/new` names it. */
export type GivenServer =
  | { type: "http"; name: string; url: string; headers: { name: string; value: string }[] }
  | { type?: undefined; name: string; command: string; args: string[]; env: { name: string; value: string }[] };

/** Calls tools of the servers that came with a conversation. */
export interface Tools {
  /** The tool's structured answer, a refusal too. Errors: no server, or one that does not answer. */
  call(tool: string, args: Record<string, unknown>, signal: AbortSignal): Promise<Record<string, unknown>>;
}

/** Longer than the longest wait that Baton's door takes. Milliseconds. */
const timeout = 3_700_000;

/** Connects at the first call. The client is loaded only then: most scenarios call nothing. */
export function tools(servers: GivenServer[]): Tools {
  let client: Promise<McpClient> | null = null;
  return {
    async call(tool, args, signal) {
      const [server] = servers;
      if (!server) throw new Error("this conversation came without MCP servers");
      client ??= connect(server);
      const opened = await client.catch((error: unknown) => {
        client = null;
        throw error;
      });
      const result = await opened.callTool({ name: tool, arguments: args }, { timeout, signal });
      return result.structuredContent as Record<string, unknown>;
    },
  };
}

async function connect(server: GivenServer): Promise<McpClient> {
  const { Client, StreamableHTTPClientTransport } = await import("@modelcontextprotocol/client");
  const { StdioClientTransport } = await import("@modelcontextprotocol/client/stdio");
  const client = new Client({ name: "scripted-agent", version: "1" });
  const given = (pairs: { name: string; value: string }[]) => Object.fromEntries(pairs.map(({ name, value }) => [name, value]));
  await client.connect(
    server.type === "http"
      ? new StreamableHTTPClientTransport(new URL(server.url), { requestInit: { headers: given(server.headers) } })
      : new StdioClientTransport({ command: server.command, args: server.args, env: given(server.env) }),
  );
  return client;
}

/** `{{name}}` in the texts of `args` becomes that field of what the former calls answered (`{{sessions.0.name}}` goes deeper); a text that is nothing else becomes the value itself. A name that no answer had stays as it is: it may be for an agent further down. */
export function filled(args: unknown, answers: Record<string, unknown>): unknown {
  if (Array.isArray(args)) return args.map((one) => filled(one, answers));
  if (typeof args === "object" && args !== null) return Object.fromEntries(Object.entries(args).map(([name, value]) => [name, filled(value, answers)]));
  if (typeof args !== "string") return args;
  const whole = /^\{\{([^{}]+)\}\}$/.exec(args)?.[1];
  if (whole !== undefined) return field(answers, whole) ?? args;
  return args.replaceAll(/\{\{([^{}]+)\}\}/g, (text, path: string) => String(field(answers, path) ?? text));
}

function field(answers: unknown, path: string): unknown {
  return path.split(".").reduce<unknown>((value, name) => (value as Record<string, unknown> | undefined)?.[name], answers);
}
