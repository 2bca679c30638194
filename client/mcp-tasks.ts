import { ulid } from "ulid";
import type { McpTaskRow } from "../store/mcp-tasks.ts";
import { type Caller, ownerOf } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { isUlid } from "./requests.ts";
import type { Begun } from "./waited-sessions.ts";

export type { McpTaskRow } from "../store/mcp-tasks.ts";

/** How long a task of MCP is there, from its making. Milliseconds. */
export const mcpTaskLifeMs = 24 * 3_600_000;
/** Of a task's arguments as JSON, which name fifty sessions at most. Characters. */
const longestArguments = 16_384;

/** Waits that their callers look after (store/mcp-tasks.ts). Each is its maker's alone. */
export interface McpTasks {
  /** Keeps a wait that has begun, committed when this resolves. Null: its arguments are too long, or the principal has as many open ones as it may. */
  keep(caller: Caller, wait: { args: Record<string, unknown>; begun: Begun }): Promise<McpTaskRow | null>;
  /** null: there is none, it is somebody else's, or its time is over */
  get(caller: Caller, taskId: string): Promise<McpTaskRow | null>;
  /** Writes down what the wait came to, unless it has ended, or a session that the answer shows is on its way out. */
  complete(task: { taskId: string; answer: Record<string, unknown>; shown: string[] }): Promise<void>;
  /** Ends one that `get` gave; the sessions it waits for hear nothing of it. */
  cancel(taskId: string): Promise<void>;
}

/** The SDK's part of MCP's tasks. Every method rejects with UNAVAILABLE while Postgres is away. */
export function mcpTasks(deps: Deps): McpTasks {
  const rows = async () => (await deps.getStore()).mcpTasks;
  return {
    async keep(caller, { args, begun }) {
      if (JSON.stringify(args).length > longestArguments) return null;
      const { principal } = caller;
      const marks = [...(begun.marks ?? [])];
      return (await rows()).insert({ taskId: ulid(), principal, owner: ownerOf(caller), arguments: args, marks, lifeMs: mcpTaskLifeMs });
    },
    get: async (caller, taskId) => (isUlid(taskId) ? (await rows()).get({ taskId, owner: ownerOf(caller) }) : null),
    complete: async (task) => (await rows()).complete(task),
    cancel: async (taskId) => (await rows()).cancel(taskId),
  };
}
