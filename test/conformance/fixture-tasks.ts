import { randomUUID } from "node:crypto";
import { acceptedContent, inputRequired, type McpServer, MissingRequiredClientCapabilityError, type ServerContext } from "@modelcontextprotocol/server";
import { z } from "zod";
import { knowsTasks, needsTasks } from "../../mcp-gateway/task-methods.ts";
import { clientCapabilities, text } from "./fixture-contents.ts";

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

/**
 * Before the first tool and the product's `tasks/*` are registered: what a client must be able to do is checked in front of the tools
 * themselves, and tasks of these tools are answered in front of the product's.
 */
export function inFront(server: McpServer): void {
  const set = server.server.setRequestHandler.bind(server.server) as (method: string, ...rest: unknown[]) => void;
  server.server.setRequestHandler = ((method: string, ...rest: unknown[]) => {
    const handler = rest.pop() as (request: unknown, context: ServerContext) => unknown;
    const answer = answers[method];
    if (method === "tools/call") set(method, (request: Call, context: ServerContext) => route(request, context, handler as Next));
    else if (answer) set(method, ...rest, (sent: Sent, context: ServerContext) => ownTask(sent, context, answer) ?? handler(sent, context));
    else set(method, ...rest, handler);
  }) as never;
}

type Sent = { taskId: string };
type Answer = (task: Task, sent: Sent, context: ServerContext) => object;
const answers: Record<string, Answer> = {
  "tasks/get": (task, { taskId }) => envelope(taskId, task),
  "tasks/cancel": (task) => {
    settle(task, { status: "cancelled" });
    return {};
  },
  "tasks/update": (task, _, { mcpReq }) => {
    const left = Object.entries(task.inputRequests ?? {}).filter(([key]) => mcpReq.inputResponses?.[key] === undefined);
    if (left.length > 0) settle(task, { inputRequests: Object.fromEntries(left) });
    else settle(task, { status: "completed", result: text("answered") });
    return {};
  },
};

/** Undefined: none of ours, or of a client that knows no tasks: the product says so. */
function ownTask(sent: Sent, context: ServerContext, answer: Answer): object | undefined {
  const task = all.get(sent.taskId);
  return task && knowsTasks(context.mcpReq.envelope) ? { resultType: "complete", ...answer(task, sent, context) } : undefined;
}

type Next = (request: Call, context: ServerContext) => unknown;

function route(request: Call, context: ServerContext, next: Next): unknown {
  const { name, arguments: args = {} } = request.params;
  if (name === "test_missing_capability" && !clientCapabilities(context).sampling)
    throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } });
  const play = plays[name];
  if (play === undefined) return next(request, context);
  if (!knowsTasks(context.mcpReq.envelope)) {
    if (name === "failing_job" || name === "test_tool_with_task") throw needsTasks();
    return next(request, context);
  }
  if (name !== "test_tool_with_task") return started(play, args);
  const answered = acceptedContent(context.mcpReq.inputResponses, "user_name");
  return answered ? started(play, answered) : inputRequired({ inputRequests: { user_name: question("What is your name?") } });
}

export function tasks(server: McpServer): void {
  server.registerTool("greet", { description: "Greets", inputSchema: z.object({ name: z.string() }) }, ({ name }) => text(`Hello, ${name}!`));
  server.registerTool("test_missing_capability", { description: "Needs sampling", inputSchema: z.object({}) }, () => text("sampling is there"));
  for (const name of Object.keys(plays))
    server.registerTool(name, { description: `Fixture ${name}`, inputSchema: z.looseObject({}) }, () => text("done at once, as this client knows no tasks"));
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
