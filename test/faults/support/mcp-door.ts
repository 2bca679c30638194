import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { Stack } from "./stack.ts";

export interface DoorAnswer {
  ok: boolean;
  data?: Record<string, unknown>;
  error?: { code: string; message: string; applied?: string; retryable?: boolean; retryAfterMs?: number };
}
export interface McpDoor {
  readonly process: ChildProcess;
  readonly url: string;
  /** `pm_session`, as an orchestrator calls it */
  call(args: Record<string, unknown>): Promise<DoorAnswer>;
  /** a resource's text */
  read(uri: string): Promise<string>;
  close(): Promise<void>;
}

/** A gateway of the stack and a client that talks to it. */
export async function openMcpDoor(stack: Stack): Promise<McpDoor> {
  const gateway = await stack.startGateway();
  const authorization = `Bearer ${readFileSync(join(stack.home, "token"), "utf8").trim()}`;
  const client = new Client({ name: "test", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(gateway.url), { requestInit: { headers: { authorization } } }));
  return {
    ...gateway,
    call: async (args) => (await client.callTool({ name: "pm_session", arguments: args })).structuredContent as unknown as DoorAnswer,
    read: async (uri) => (await client.readResource({ uri })).contents.map((one) => ("text" in one ? String(one.text) : "")).join(""),
    close: () => client.close(),
  };
}
