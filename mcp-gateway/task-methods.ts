import {
  CLIENT_CAPABILITIES_META_KEY,
  type McpServer,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
} from "@modelcontextprotocol/server";
import { z } from "zod";
import { BatonError } from "../contracts/failures.ts";
import { cancelTask, type TaskDoor, taskNow } from "./wait-tasks.ts";

/** MCP's extension for calls whose answer is fetched later (SEP-2663), as of 2026-07-28. */
const extension = "io.modelcontextprotocol/tasks";

/** Whether the caller said with this very request that it knows tasks. `envelope`: what it says of itself in the request's `_meta`. */
export function knowsTasks(envelope: unknown): boolean {
  const capabilities = (envelope as Record<string, unknown> | undefined)?.[CLIENT_CAPABILITIES_META_KEY];
  return (capabilities as { extensions?: Record<string, unknown> } | undefined)?.extensions?.[extension] !== undefined;
}

/** The refusal (-32021) of what only a caller that knows tasks may ask for. */
export const needsTasks = () => new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: { [extension]: {} } } });

/** `tasks/get`, `tasks/cancel` and `tasks/update`, for callers that know tasks (-32021). A task that is not the caller's is none (-32602). */
export function registerTaskMethods(server: McpServer, door: TaskDoor): void {
  server.server.registerCapabilities({ extensions: { [extension]: {} } });
  const handle = (method: string, answer: (taskId: string) => Promise<object | null>) =>
    server.server.setRequestHandler(method, { params: z.looseObject({ taskId: z.string() }), result: z.looseObject({}) }, async ({ taskId }, context) => {
      if (!knowsTasks(context.mcpReq.envelope)) throw needsTasks();
      const answered = await answer(taskId).catch((error: unknown) => {
        throw inProtocol(error, (told) => door.report({ action: method, error: told }, "a task could not be looked at"));
      });
      if (answered === null) throw new ProtocolError(ProtocolErrorCode.InvalidParams, "There is no such task: it never was, or its time is over.");
      return { resultType: "complete", ...answered };
    });
  handle("tasks/get", (taskId) => taskNow(door, taskId));
  handle("tasks/cancel", async (taskId) => ((await cancelTask(door, taskId)) ? {} : null));
  // A wait never asks its caller for anything: whatever is sent answers no question.
  handle("tasks/update", async (taskId) => ((await taskNow(door, taskId)) ? {} : null));
}

/** An error as JSON-RPC knows it; ours to the log, and in a word to the caller. */
function inProtocol(error: unknown, report: (error: unknown) => void): ProtocolError {
  if (error instanceof BatonError) {
    const { retryable, retryAfterMs } = error.detail;
    return new ProtocolError(ProtocolErrorCode.InternalError, error.message, { code: error.code, retryable, retryAfterMs });
  }
  report(error);
  return new ProtocolError(ProtocolErrorCode.InternalError, "Something went wrong inside Baton; its log says what.");
}
