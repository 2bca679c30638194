import { randomUUID } from "node:crypto";
import {
  acceptedContent,
  inputRequired,
  type McpServer,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { z } from "zod";
import { clientCapabilities, text } from "./fixture-contents.ts";

const extension = "io.modelcontextprotocol/tasks";
const lifeMs = 60_000;

interface Task {
  status: "working" | "input_required" | "completed" | "failed" | "cancelled";
  createdAt: string;
  lastUpdatedAt: string;
  inputRequests?: Record<string, unknown>;
  result?: unknown;
  error?: { code: number; message: string };
}
type Call = { params: { name: string; arguments?: Record<string, unknown> } };
type Play = (args: Record<string, unknown>, task: Task) => Promise<void>;

const all = new Map<string, Task>();
const question = (message: string) => inputRequired.elicit({ message, requestedSchema: { type: "object", properties: { confirm: { type: "boolean" } } } });
const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms).unref());

/** Tools that become a task for a client that knows the extension. */
const plays: Record<string, Play> = {
  async slow_compute({ seconds }, task) {
    await after(Number(seconds ?? 0) * 1_000);
    settle(task, { status: "completed", result: text("computed") });
  },
  async failing_job(_, task) {
    settle(task, { status: "completed", result: { ...text("the job failed"), isError: true } });
  },
  async protocol_error_job(_, task) {
    settle(task, { status: "failed", error: { code: -32603, message: "the job broke" } });
  },
  async confirm_delete({ filename }, task) {
    settle(task, { status: "input_required", inputRequests: { [randomUUID()]: question(`Delete ${String(filename)}?`) } });
  },
  async multi_input(_, task) {
    settle(task, { status: "input_required", inputRequests: { [randomUUID()]: question("First?"), [randomUUID()]: question("Second?") } });
  },
  async test_tool_with_task({ name }, task) {
    settle(task, { status: "completed", result: text(`Hello, ${String(name)}!`) });
  },
};

/** Before the first tool is registered: what a client must be able to do is checked in front of the tools themselves. */
export function needsCapability(server: McpServer): void {
  const set = server.server.setRequestHandler.bind(server.server) as (method: string, ...rest: unknown[]) => void;
  server.server.setRequestHandler = ((method: string, ...rest: unknown[]) => {
    const handler = rest.pop() as (request: Call, context: ServerContext) => unknown;
    set(method, ...rest, method === "tools/call" ? (request: Call, context: ServerContext) => route(request, context, handler) : handler);
  }) as never;
}

function route(request: Call, context: ServerContext, next: (request: Call, context: ServerContext) => unknown): unknown {
  const { name, arguments: args = {} } = request.params;
  if (name === "test_missing_capability" && !clientCapabilities(context).sampling)
    throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } });
  const play = plays[name];
  if (play === undefined) return next(request, context);
  if (!knowsTasks(context)) {
    if (name === "failing_job" || name === "test_tool_with_task") mustKnowTasks(context);
    return next(request, context);
  }
  if (name !== "test_tool_with_task") return started(play, args);
  const answered = acceptedContent(context.mcpReq.inputResponses, "user_name");
  return answered ? started(play, answered) : inputRequired({ inputRequests: { user_name: question("What is your name?") } });
}

export function tasks(server: McpServer): void {
  server.server.registerCapabilities({ extensions: { [extension]: {} } });
  server.registerTool("greet", { description: "Greets", inputSchema: z.object({ name: z.string() }) }, ({ name }) => text(`Hello, ${name}!`));
  server.registerTool("test_missing_capability", { description: "Needs sampling", inputSchema: z.object({}) }, () => text("sampling is there"));
  for (const name of Object.keys(plays))
    server.registerTool(name, { description: `Fixture ${name}`, inputSchema: z.looseObject({}) }, () => text("done at once, as this client knows no tasks"));
  const handle = (method: string, params: z.ZodObject, answer: (task: Task, sent: Record<string, unknown>, context: ServerContext) => object) =>
    server.server.setRequestHandler(method, { params, result: z.looseObject({}) }, ((sent: Record<string, unknown>, context: ServerContext) => {
      mustKnowTasks(context);
      const task = all.get(String(sent["taskId"]));
      if (task === undefined) throw new ProtocolError(-32602, "There is no such task.");
      return { resultType: "complete", ...answer(task, sent, context) };
    }) as never);
  const id = z.looseObject({ taskId: z.string() });
  handle("tasks/get", id, (task, { taskId }) => envelope(String(taskId), task));
  handle("tasks/cancel", id, (task) => {
    settle(task, { status: "cancelled" });
    return {};
  });
  handle("tasks/update", id, (task, _, { mcpReq }) => {
    const left = Object.entries(task.inputRequests ?? {}).filter(([key]) => mcpReq.inputResponses?.[key] === undefined);
    if (left.length > 0) settle(task, { inputRequests: Object.fromEntries(left) });
    else settle(task, { status: "completed", result: text("answered") });
    return {};
  });
}

function started(play: Play, args: Record<string, unknown>): object {
  const now = new Date().toISOString();
  const task: Task = { status: "working", createdAt: now, lastUpdatedAt: now };
  const taskId = randomUUID();
  all.set(taskId, task);
  setTimeout(() => void play(args, task), 50);
  return { resultType: "task", ...envelope(taskId, task) };
}

/** A task that ended stays as it is. */
function settle(task: Task, change: Partial<Task>): void {
  if (["completed", "failed", "cancelled"].includes(task.status)) return;
  if (change.status !== undefined) delete task.inputRequests;
  Object.assign(task, change, { lastUpdatedAt: new Date().toISOString() });
}

function envelope(taskId: string, task: Task): object {
  return { taskId, ...task, ttlMs: lifeMs, pollIntervalMs: 100 };
}

function knowsTasks(context: ServerContext): boolean {
  return clientCapabilities(context).extensions?.[extension] !== undefined;
}

function mustKnowTasks(context: ServerContext): void {
  if (!knowsTasks(context)) throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { extensions: { [extension]: {} } } });
}
