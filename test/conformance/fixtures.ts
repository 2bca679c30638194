import { createRequestStateCodec, InMemoryServerEventBus, type McpServer, type ServerContext } from "@modelcontextprotocol/server";
import { z } from "zod";
import type { Fixtures } from "../../mcp-gateway/server.ts";
import { contents, text } from "./fixture-contents.ts";
import { inputs } from "./fixture-inputs.ts";
import { inFront, tasks } from "./fixture-tasks.ts";

const bus = new InMemoryServerEventBus();
/** One process plays all rounds of a conversation here, and only there is the key valid. */
const codec = createRequestStateCodec({ key: "conformance fixtures, not a secret" });

/** What the official scenarios call by name. Loaded by a gateway that BATON_MCP_FIXTURES tells to, and nowhere else. */
export const fixtures: Fixtures = {
  options: { capabilities: { logging: {}, prompts: { listChanged: true } }, requestState: { verify: codec.verify } },
  bus,
  register(server) {
    server.server.registerCapabilities({ tools: { listChanged: true } });
    inFront(server);
    contents(server);
    inputs(server, codec);
    tasks(server);
    talkative(server);
    changes(server);
    watched(server);
  },
};

/** Tools that say something before they answer. */
function talkative(server: McpServer): void {
  const say = (context: ServerContext, method: string, params: Record<string, unknown>) => context.mcpReq.notify({ method, params });
  server.registerTool("test_tool_with_progress", { description: "Three steps of progress", inputSchema: z.object({}) }, async (_, context) => {
    const progressToken = context.mcpReq._meta?.progressToken;
    for (const progress of [0, 50, 100]) if (progressToken !== undefined) await say(context, "notifications/progress", { progressToken, progress, total: 100 });
    return text("done");
  });
  for (const name of ["test_tool_with_logging", "test_logging_tool"])
    server.registerTool(name, { description: "Three log messages", inputSchema: z.object({}) }, async (_, context) => {
      for (const line of ["Tool execution started", "Tool processing data", "Tool execution completed"]) await context.mcpReq.log("info", line);
      return text("logged");
    });
  server.registerTool("test_streaming_elicitation", { description: "Progress, then a question", inputSchema: z.object({}) }, async (_, context) => {
    await context.mcpReq.log("info", "before the question");
    return text("asked nothing on the stream");
  });
  server.registerTool("test_reconnection", { description: "Drops its stream before it answers", inputSchema: z.object({}) }, async (_, context) => {
    context.http?.closeSSE?.();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return text("answered after the stream was gone");
  });
}

function changes(server: McpServer): void {
  for (const [name, kind] of [
    ["test_trigger_tool_change", "tools_list_changed"],
    ["test_trigger_prompt_change", "prompts_list_changed"],
  ] as const)
    server.registerTool(name, { description: "Says that a list changed", inputSchema: z.object({}) }, () => {
      bus.publish({ kind });
      return text("said");
    });
}

/** Subscriptions of 2025: acknowledged, for a resource that never changes. */
function watched(server: McpServer): void {
  server.server.setRequestHandler("resources/subscribe", () => ({}));
  server.server.setRequestHandler("resources/unsubscribe", () => ({}));
}
