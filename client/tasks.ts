import { BatonError } from "../contracts/failures.ts";
import { taskKeyPattern } from "../contracts/workspaces.ts";
import type { Viewer } from "../store/reach.ts";
import type { TaskRow } from "../store/rows.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { type NewTask, newTaskRow } from "./launch-plan.ts";
import { record, requestKey, storedAnswer } from "./requests.ts";

export interface CreateTaskArgs extends NewTask {
  taskKey: string;
  clientRequestId?: string;
  actorHandle?: string;
}
export interface ListTasksArgs {
  projectKey?: string;
  status?: string;
  assigneeHandle?: string;
  limit?: number;
  cursor?: string;
  /** whose eyes; set by `authorize` */
  reach?: Viewer;
}
export interface ChangeStatusArgs {
  taskKey: string;
  to: string;
  reason?: string;
  actorHandle?: string;
  clientRequestId?: string;
}

/** A task's ways, in order. */
export const taskStatuses = ["backlog", "to_do", "in_progress", "in_review", "verified", "done"] as const;

/** Makes a task; its repository is checked first. Errors: INVALID_ARGUMENT, CONFLICT_STATE when the key is taken. */
export async function createTask(deps: Deps, caller: Caller, args: CreateTaskArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  if (!taskKeyPattern.test(args.taskKey))
    throw new BatonError(
      "INVALID_ARGUMENT",
      `"${args.taskKey}" is no task key: letters, digits, ".", "_" and "-", at most 64, beginning with a letter or digit.`,
      { field: "taskKey" },
    );
  const earlier = await storedAnswer<{ taskKey: string }>(store, requestKey(caller, "task.create", { ...args }));
  if (earlier) return { task: await mustGetTask(deps, earlier.taskKey), replayed: true };
  const row = await newTaskRow(store, args.taskKey, args);
  if (!row.repositoryPath)
    throw new BatonError("INVALID_ARGUMENT", "Give repositoryPath: the absolute path of an existing git repository.", { field: "repositoryPath" });
  const repository = await deps.options.inspectRepository(row.repositoryPath, row.baseRef ?? undefined);
  if (await store.tasks.get(args.taskKey))
    throw new BatonError("CONFLICT_STATE", `Task ${args.taskKey} exists.`, {
      field: "taskKey",
      next: [{ tool: "pm_task", args: { action: "get", taskKey: args.taskKey }, why: "the task that is there" }],
    });
  const { replayed } = await record(store, caller, { action: "task.create", args: { ...args }, target: args.taskKey }, async (tx) => {
    await store.tasks.insert(tx, { ...row, repositoryPath: repository.path }, caller.principal);
    return { taskKey: args.taskKey };
  });
  return { task: await mustGetTask(deps, args.taskKey), ...(replayed ? { replayed: true } : {}) };
}

export async function getTask(deps: Deps, taskKey: string): Promise<Record<string, unknown>> {
  return { task: await mustGetTask(deps, taskKey) };
}

export async function listTasks(deps: Deps, args: ListTasksArgs): Promise<{ data: Record<string, unknown>; page?: { nextCursor: string } }> {
  const store = await deps.getStore();
  const { cursor, limit: asked, ...filter } = args;
  const limit = Math.min(asked ?? 100, 200);
  const tasks = await store.tasks.list({ ...filter, limit, ...(cursor ? { after: cursor } : {}) });
  const last = tasks.at(-1);
  return { data: { tasks }, ...(last && tasks.length === limit ? { page: { nextCursor: last.taskKey } } : {}) };
}

/** Forward freely up to `in_review`; `verified` and `done` only through the gates of a chain; backward with a reason. */
export async function changeStatus(deps: Deps, caller: Caller, args: ChangeStatusArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const to = args.to.trim().toLowerCase();
  if (!taskStatuses.includes(to as never))
    throw new BatonError("INVALID_ARGUMENT", `"${args.to}" is no status of a task.`, { field: "to", allowed: taskStatuses });
  const detail: Record<string, unknown> = {};
  const { replayed } = await record(store, caller, { action: "task.change_status", args: { ...args }, target: args.taskKey, detail }, async (tx) => {
    // Judged on the locked row: another caller's step must not come between the judgement and the write.
    const from = await store.tasks.lockedStatus(tx, args.taskKey);
    if (from === null) throw noTask(args.taskKey);
    judgeStep({ ...args, from, to });
    Object.assign(detail, { from, to, reason: args.reason ?? null });
    await store.tasks.setStatus(tx, { taskKey: args.taskKey, to });
    return { taskKey: args.taskKey };
  });
  return { task: await mustGetTask(deps, args.taskKey), gates: [], ...(replayed ? { replayed: true } : {}) };
}

/** Errors: INVALID_ARGUMENT for a step back without a reason, CONFLICT_STATE for one past the gates. */
function judgeStep({ taskKey, from, to, reason }: { taskKey: string; from: string; to: string; reason?: string }): void {
  const step = place(to) - place(from);
  if (step < 0 && !reason)
    throw new BatonError("INVALID_ARGUMENT", `Going back from ${from} to ${to} needs a reason.`, { field: "reason", currentState: from });
  if (to === "verified" && step > 0)
    throw new BatonError("CONFLICT_STATE", "A task becomes verified through its gates alone: launch it with a chain.", {
      currentState: from,
      next: [{ tool: "pm_session", args: { action: "list", contextRef: taskKey }, why: "who worked on it" }],
    });
  if (to === "done" && from !== "verified" && step > 0) throw new BatonError("CONFLICT_STATE", "Only a verified task can be done.", { currentState: from });
}

function place(status: string): number {
  return taskStatuses.indexOf(status as (typeof taskStatuses)[number]);
}

async function mustGetTask(deps: Deps, taskKey: string): Promise<TaskRow> {
  const task = await (await deps.getStore()).tasks.get(taskKey);
  if (task) return task;
  throw noTask(taskKey);
}

function noTask(taskKey: string): BatonError {
  return new BatonError("NOT_FOUND", `There is no task ${taskKey}.`, {
    field: "taskKey",
    example: { action: "create", taskKey, title: "…", repositoryPath: "/absolute/path" },
  });
}
