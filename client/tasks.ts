import { BatonError } from "../contracts/failures.ts";
import { taskKeyPattern } from "../contracts/workspaces.ts";
import type { Viewer } from "../store/reach.ts";
import type { TaskRow } from "../store/rows.ts";
import { cutParts, defaultBytes, fitting } from "./bounded.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import type { NewTask } from "./launch-plan.ts";
import { newTaskRow } from "./launch-task.ts";
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

/** Longest description in a list, characters; largest row of one, bytes. */
const listedText = 200;
const listedBytes = 2_000;
/** What of a task can be long. */
const long = ["description", "acceptanceCriteria", "requirements", "reviewerHandles", "metadata"];

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
  if (earlier) return { task: await shown(deps, earlier.taskKey), replayed: true };
  const row = await newTaskRow(store, caller, args.taskKey, args);
  if (!row.repositoryPath)
    throw new BatonError("INVALID_ARGUMENT", "Give repositoryPath: the absolute path of an existing git repository.", { field: "repositoryPath" });
  const repository = await deps.options.inspectRepository(row.repositoryPath, row.baseRef ?? undefined);
  const { replayed } = await record(store, caller, { action: "task.create", args: { ...args }, target: args.taskKey }, async (tx) => {
    // Not before: it may be the same call's, which was faster.
    if ((await store.tasks.lockedStatus(tx, args.taskKey)) !== null)
      throw new BatonError("CONFLICT_STATE", `Task ${args.taskKey} exists.`, {
        field: "taskKey",
        next: [{ tool: "pm_task", args: { action: "get", taskKey: args.taskKey }, why: "the task that is there" }],
      });
    await store.tasks.insert(tx, { ...row, repositoryPath: repository.path }, caller.principal);
    return { taskKey: args.taskKey };
  });
  return { task: await shown(deps, args.taskKey), ...(replayed ? { replayed: true } : {}) };
}

/** One task; what is too long for `maxBytes` is cut and marked. Error: NOT_FOUND. */
export async function getTask(deps: Deps, taskKey: string, bounds: { maxBytes?: number } = {}): Promise<Record<string, unknown>> {
  return { task: await shown(deps, taskKey, bounds) };
}

/** Tasks by key, with the beginning of their descriptions; `page` when there are more. Error: INVALID_ARGUMENT for what is no status or cursor. */
export async function listTasks(deps: Deps, args: ListTasksArgs): Promise<{ data: Record<string, unknown>; page?: { nextCursor: string } }> {
  const store = await deps.getStore();
  const { cursor, limit: asked, status, assigneeHandle, ...filter } = args;
  if (cursor !== undefined && !taskKeyPattern.test(cursor))
    throw new BatonError("INVALID_ARGUMENT", "That is no cursor: send page.nextCursor of the last answer, or none.", { field: "cursor" });
  const limit = Math.min(asked ?? 100, 200);
  const rows = await store.tasks.list({
    ...filter,
    ...(status === undefined ? {} : { status: knownStatus(status, "status") }),
    ...(assigneeHandle === undefined ? {} : { assigneeHandle: assigneeHandle.replace(/^@/, "") }),
    limit,
    ...(cursor ? { after: cursor } : {}),
  });
  const { kept, truncated } = fitting(rows.map(listedTask), defaultBytes);
  const last = rows[kept.length - 1];
  return { data: { tasks: kept }, ...(last && (truncated || rows.length === limit) ? { page: { nextCursor: last.taskKey } } : {}) };
}

function listedTask(task: TaskRow): Record<string, unknown> {
  const { description } = task;
  if (description.length <= listedText) return cutParts({ ...task }, long, { maxBytes: listedBytes });
  const { truncated, ...row } = cutParts({ ...task, description: description.slice(0, listedText).toWellFormed() }, long, { maxBytes: listedBytes });
  return { ...row, truncated: { ...(truncated as object | undefined), description: { truncated: true, bytes: Buffer.byteLength(description) } } };
}

/** A status as it is stored; any case will do. Error: INVALID_ARGUMENT. */
function knownStatus(text: string, field: string): string {
  const status = text.trim().toLowerCase();
  if (taskStatuses.includes(status as never)) return status;
  throw new BatonError("INVALID_ARGUMENT", `"${text}" is no status of a task.`, { field, allowed: taskStatuses });
}

/** Forward freely up to `in_review`; `verified` and `done` only through the gates of a chain; backward with a reason. */
export async function changeStatus(deps: Deps, caller: Caller, args: ChangeStatusArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const to = knownStatus(args.to, "to");
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
  return { task: await shown(deps, args.taskKey), gates: [], ...(replayed ? { replayed: true } : {}) };
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

/** A task as an answer shows it. Error: NOT_FOUND. */
async function shown(deps: Deps, taskKey: string, bounds: { maxBytes?: number } = {}): Promise<Record<string, unknown>> {
  return cutParts({ ...(await mustGetTask(deps, taskKey)) }, long, bounds);
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
