import { Client, type JSONRPCMessage, type StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import type { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { z } from "zod";

interface Result {
  isError?: boolean;
  content: { text: string }[];
  structuredContent: Record<string, unknown> & { data?: Record<string, unknown>; error?: { code: string; currentState?: string } };
}
interface Task {
  taskId: string;
  status: string;
  statusMessage?: string;
  createdAt: string;
  lastUpdatedAt: string;
  ttlMs: number;
  pollIntervalMs: number;
  result?: Result;
}

/** A real client that says that it knows tasks, if `knows`. `call`: the answer of pm_session, or the task that it became. */
export async function tasksClient(transport: StreamableHTTPClientTransport | StdioClientTransport, knows = true, mode: "auto" | "legacy" = "auto") {
  const capabilities = knows ? { extensions: { "io.modelcontextprotocol/tasks": {} } } : {};
  const client = new Client({ name: "t", version: "1" }, { capabilities, versionNegotiation: { mode } });
  await client.connect(transport);
  // The SDK's client has no word for a task yet: it takes one as what a complete answer says.
  const take = transport.onmessage;
  transport.onmessage = (message: JSONRPCMessage) => {
    const result = "result" in message ? message.result : {};
    const task = result["resultType"] === "task" ? { resultType: "complete", content: [], structuredContent: { task: result } } : result;
    take?.("result" in message ? { ...message, result: task } : message);
  };
  const request = async (method: string, taskId: string) => {
    // Which server it was, says the SDK.
    const { _meta, ...result } = await client.request({ method, params: { taskId } }, z.looseObject({}));
    return result as Record<string, unknown>;
  };
  return {
    client,
    async call(args: Record<string, unknown>, tool = "pm_session"): Promise<{ task?: Task; result: Result }> {
      const result = (await client.callTool({ name: tool, arguments: args })) as unknown as Result & { structuredContent: { task?: Task } };
      const { task } = result.structuredContent;
      return { ...(task ? { task } : {}), result };
    },
    get: async (taskId: string) => (await request("tasks/get", taskId)) as unknown as Task,
    cancel: (taskId: string) => request("tasks/cancel", taskId),
    update: (taskId: string) => request("tasks/update", taskId),
  };
}
export type TasksClient = Awaited<ReturnType<typeof tasksClient>>;
