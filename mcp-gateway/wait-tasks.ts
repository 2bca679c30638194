import { mcpTaskLifeMs, type McpTaskRow } from "../client/mcp-tasks.ts";
import type { Baton, Caller } from "../client/open-baton.ts";
import type { Begun } from "../client/waited-sessions.ts";
import { BatonError } from "../contracts/failures.ts";
import { failure, kept, type ReportError, success, type ToolResult } from "./envelope.ts";
import { standing, waitsForNews } from "./long-polls.ts";
import { parseArguments } from "./parse-arguments.ts";
import type { Answer } from "./registry/action.ts";
import { readOnlyTools, type Tool } from "./registry/index.ts";
import type { Read } from "./resources.ts";

/** What a door's tasks are made with. */
export interface TaskDoor {
  /** where they are kept, and who calls as of now. Rejects (UNAVAILABLE) while there is no Baton to talk to */
  enter(): Promise<{ baton: Baton; caller: Caller }>;
  /** this caller's reads, under the rules of every call */
  read: Read;
  report: ReportError;
}

/** A task as MCP shows it. `result`: of a completed one, what the call would have answered. */
export interface TaskView {
  taskId: string;
  status: McpTaskRow["state"];
  statusMessage?: string;
  createdAt: string;
  lastUpdatedAt: string;
  ttlMs: number;
  pollIntervalMs: number;
  result?: ToolResult;
  [key: string]: unknown;
}

const pollIntervalMs = 2_000;
const readTool = readOnlyTools.find((tool) => tool.name === "pm_session_read") as Tool;

/**
 * A `wait` of a caller that knows tasks: what it finds at once, a refusal, or the task that it becomes, committed. Null: the call is answered
 * as any other, because it is none that waits, because an agent makes it, or because its principal has as many open tasks as it may.
 */
export async function waitAsTask(door: TaskDoor, tool: Tool, raw: unknown): Promise<ToolResult | TaskView | null> {
  const args = waitArguments(tool, raw);
  if (args === null) return null;
  try {
    const { baton, caller } = await door.enter();
    // While an agent waits its turn gives its slot to what it waits for (client/agent-wait.ts): between two looks at a task nobody would.
    if (caller.session !== undefined) return null;
    const begun: Begun = {};
    const found = await look(door, args, begun);
    if (found.met) return found.result;
    const row = await baton.mcpTasks.keep(caller, { args, begun });
    return row && { resultType: "task", ...view(row), statusMessage: found.standing };
  } catch (error) {
    return failure("wait", error, door.report);
  }
}

/** The task as it is now. Null: this caller has none of this id. Rejects (UNAVAILABLE, or what is nobody's fault but ours) with nothing decided. */
export async function taskNow(door: TaskDoor, taskId: string): Promise<TaskView | null> {
  const { baton, caller } = await door.enter();
  const row = await baton.mcpTasks.get(caller, taskId);
  if (row?.state !== "working") return row && ended(door, row);
  const found = await look(door, row.arguments, { marks: new Set(row.marks) }).catch((error: unknown) => ({
    met: true as const,
    result: failure("wait", lasting(error), door.report),
    shown: [],
  }));
  if (!found.met) return { ...view(row), statusMessage: found.standing };
  await baton.mcpTasks.complete({ taskId, answer: found.result.structuredContent, shown: found.shown });
  // Another look may have been first, or a cancel: what is written is what all hear. Nothing is, while a purge goes on: the next look finds its end.
  const written = await baton.mcpTasks.get(caller, taskId);
  return written && ended(door, written);
}

/** Ends a task that still works. False: this caller has none of this id. */
export async function cancelTask(door: TaskDoor, taskId: string): Promise<boolean> {
  const { baton, caller } = await door.enter();
  if ((await baton.mcpTasks.get(caller, taskId)) === null) return false;
  await baton.mcpTasks.cancel(taskId);
  return true;
}

/** Null: it is no wait, or one that asks for a look only. What is wrong with it the call itself says. */
function waitArguments(tool: Tool, raw: unknown): Record<string, unknown> | null {
  try {
    const { action, args } = parseArguments(tool, raw);
    return action.action === "wait" && waitsForNews(action, args) ? (raw as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

type Found = { met: true; result: ToolResult; shown: string[] } | { met: false; standing: string };

/** One look at what is waited for, as the call itself would take it. */
async function look({ read }: TaskDoor, args: Record<string, unknown>, begun: Begun): Promise<Found> {
  const answer: Answer = await read({ ...args, waitMs: 0 }, undefined, { begun });
  if (answer.data["met"] !== true) return { met: false, standing: standing(answer.data) };
  const shown = (answer.data["sessions"] as { sessionUlid: string }[]).map((one) => one.sessionUlid);
  return { met: true, result: success("wait", answer), shown };
}

/** The error, if a later look would meet it again; thrown, if not. */
function lasting(error: unknown): BatonError {
  if (error instanceof BatonError && error.code !== "UNAVAILABLE") return error;
  throw error;
}

async function ended(door: TaskDoor, row: McpTaskRow): Promise<TaskView> {
  if (row.state !== "completed") return view(row);
  // What the SDK adds to the answer of a call: the extension's own client (@modelcontextprotocol/ext-tasks) takes no result without it.
  return { ...view(row), result: { resultType: "complete", ...(await resultOf(door, row)) } };
}

/** What was written down, if the caller still reaches all that it shows. */
async function resultOf(door: TaskDoor, { answer, shown, arguments: sent }: McpTaskRow): Promise<ToolResult> {
  if (answer === null)
    return failure("wait", new BatonError("NOT_FOUND", "A session that this wait was answered with was purged.", { currentState: "purged" }), door.report);
  try {
    const { action, args } = parseArguments(readTool, sent);
    const { baton, caller } = await door.enter();
    await baton.authorize(caller, action, { ...args, sessionUlids: shown });
    return kept(answer);
  } catch (error) {
    return failure("wait", lasting(error), door.report);
  }
}

function view(row: McpTaskRow): TaskView {
  const { taskId, state, createdAt, endedAt } = row;
  return { taskId, status: state, createdAt, lastUpdatedAt: endedAt ?? createdAt, ttlMs: mcpTaskLifeMs, pollIntervalMs };
}
