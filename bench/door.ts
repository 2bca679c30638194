import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { Site } from "./ground.ts";

/** An MCP client at the site's gateway. */
export interface Door {
  /** the `data` of an answer. Error: the refusal's message */
  call(tool: string, args: Record<string, unknown>): Promise<Record<string, unknown>>;
  close(): Promise<void>;
}

export async function openDoor(site: Site): Promise<Door> {
  const authorization = `Bearer ${readFileSync(join(site.stack.home, "token"), "utf8").trim()}`;
  const client = new Client({ name: "bench", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(site.gatewayUrl), { requestInit: { headers: { authorization } } }));
  return {
    async call(name, args) {
      const answer = (await client.callTool({ name, arguments: args })).structuredContent as {
        ok: boolean;
        data?: Record<string, unknown>;
        error?: { message: string };
      };
      if (!answer.ok) throw new Error(answer.error?.message ?? "refused");
      return answer.data ?? {};
    },
    close: () => client.close(),
  };
}
