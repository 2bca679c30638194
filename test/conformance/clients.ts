import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Client as Client1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as Stdio1 } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as Http1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { Doors } from "./inspector.ts";
import type { Tally } from "./tally.ts";

const me = { name: "smoke", version: "1" };
interface Connected {
  listTools(): Promise<{ tools: { name: string }[] }>;
  callTool(call: { name: string; arguments: Record<string, unknown> }): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

/** The official clients, old and new, as hosts use them: every era they speak, over HTTP and stdio. */
export async function clients(doors: Doors): Promise<Tally> {
  const tally: Tally = { name: "the official clients", passed: 0, failures: [] };
  for (const [name, connect] of Object.entries(ways(doors))) {
    const check = (what: string, right: boolean, seen: unknown) => {
      if (right) tally.passed += 1;
      else tally.failures.push(`${name}, ${what}: ${JSON.stringify(seen)}`);
    };
    try {
      const client = await connect();
      const { tools } = await client.listTools();
      check("lists the tools", tools[0]?.name === "pm_session", tools);
      const list = await client.callTool({ name: "pm_session", arguments: { action: "list" } });
      check("calls pm_session", (list["structuredContent"] as { ok?: boolean })?.ok === true, list);
      const refused = await client.callTool({ name: "pm_session", arguments: { action: "lunch_task" } });
      check("is refused with a hint", refused["isError"] === true && JSON.stringify(refused["content"]).includes("launch_task"), refused);
      await client.close();
    } catch (error) {
      check("works", false, String(error));
    }
  }
  return tally;
}

function ways({ url, token, home }: Doors): Record<string, () => Promise<Connected>> {
  const requestInit = { headers: { authorization: `Bearer ${token}` } };
  const program = {
    command: process.execPath,
    args: [join(import.meta.dirname, "../../mcp-gateway/stdio-main.ts")],
    env: { PATH: process.env["PATH"] ?? "", BATON_HOME: home },
  };
  const second = (mode: "legacy" | "auto", transport: () => StreamableHTTPClientTransport | StdioClientTransport) => async () => {
    const client = new Client(me, { versionNegotiation: { mode } });
    await client.connect(transport());
    return client as unknown as Connected;
  };
  const first = (transport: () => Http1 | Stdio1) => async () => {
    const client = new Client1(me);
    await client.connect(transport() as Stdio1);
    return client as unknown as Connected;
  };
  const http = () => new StreamableHTTPClientTransport(new URL(url), { requestInit });
  const stdio = () => new StdioClientTransport(program);
  return {
    "client 2, 2026, HTTP": second("auto", http),
    "client 2, 2025, HTTP": second("legacy", http),
    "client 2, 2026, stdio": second("auto", stdio),
    "client 2, 2025, stdio": second("legacy", stdio),
    "client 1, HTTP": first(() => new Http1(new URL(url), { requestInit })),
    "client 1, stdio": first(() => new Stdio1(program)),
  };
}
