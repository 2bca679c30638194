import { isDeepStrictEqual } from "node:util";
import { BatonError } from "../contracts/failures.ts";
import { isSessionPrincipal, sessionPrincipal } from "../contracts/scopes.ts";
import type { TaskRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { LaunchArgs, LaunchPlan, NewTask } from "./launch-plan.ts";
import { denied } from "./no-wider.ts";

type TaskToMake = NonNullable<LaunchPlan["newTask"]>;

/** The task a launch is about, or the one to make with it. Errors: NOT_FOUND, INVALID_ARGUMENT, PERMISSION_DENIED, CONFLICT_STATE. */
export async function taskOf(store: Store, caller: Caller, args: LaunchArgs): Promise<Pick<LaunchPlan, "task" | "newTask" | "warnings">> {
  const task = await store.tasks.get(args.taskKey);
  const projectKey = args.worktree?.projectKey;
  if (task && projectKey !== undefined && projectKey !== task.projectKey)
    throw new BatonError("INVALID_ARGUMENT", `Task ${task.taskKey} belongs to project ${task.projectKey}: leave projectKey out.`, {
      field: "worktree.projectKey",
      allowed: [task.projectKey],
    });
  const made = args.task && projectKey !== undefined ? { projectKey, ...args.task } : args.task;
  if (task && made) await mustBeAsAsked(store, caller, task, made);
  const newTask = task ? null : await taskToMake(store, caller, args, made);
  return { task, newTask, warnings: task && args.task ? [`Task ${task.taskKey} exists: "task" was ignored.`] : [] };
}

/** What somebody else wrote under the key is not run as what the caller sent. Of the caller's own task, `task` is ignored with a warning. Error: CONFLICT_STATE. */
async function mustBeAsAsked(store: Store, caller: Caller, task: TaskRow, sent: NewTask): Promise<void> {
  const maker = await store.tasks.madeBy(task.taskKey);
  if (maker === null || maker === caller.principal) return;
  const { repositoryPath, metadata: _, ...wanted } = asRow(task.taskKey, sent);
  const project = await store.tasks.project(task.projectKey);
  const other = [
    ...Object.entries(wanted)
      .filter(([name, value]) => !isDeepStrictEqual(value, task[name as keyof TaskRow]))
      .map(([name]) => name),
    ...(repositoryPath !== null && project && repositoryPath !== project.repositoryPath ? ["repositoryPath"] : []),
  ];
  if (other.length === 0) return;
  const by = isSessionPrincipal(maker) ? `the agent of session ${maker.slice(sessionPrincipal("").length)}` : `"${maker}"`;
  throw new BatonError(
    "CONFLICT_STATE",
    `Task ${task.taskKey} was made by ${by}, and is another than "task" says (${other.join(", ")}): read it, then leave "task" out to launch it as it is, or take another key.`,
    { field: "task", next: [{ tool: "pm_task", args: { action: "get", taskKey: task.taskKey }, why: "what it says" }] },
  );
}

/** Turns a task as sent into the row to insert. Error: NOT_FOUND without one, PERMISSION_DENIED in an agent's new project. */
async function taskToMake(store: Store, caller: Caller, args: LaunchArgs, task: NewTask | undefined): Promise<TaskToMake | null> {
  if (args.contextRef !== undefined) return null;
  if (!task) {
    const example = { tool: "pm_task", args: { action: "create", taskKey: args.taskKey, title: "…", repositoryPath: "/absolute/path" } };
    throw new BatonError("NOT_FOUND", `There is no task ${args.taskKey}: create it with pm_task create, or send "task" with title and repositoryPath here.`, {
      field: "taskKey",
      example,
    });
  }
  return newTaskRow(store, caller, args.taskKey, task);
}

/** A task as sent, as the row to insert. Error: PERMISSION_DENIED for a project that an agent would make. */
export async function newTaskRow(store: Store, caller: Caller, taskKey: string, task: NewTask): Promise<TaskToMake> {
  const row = asRow(taskKey, task);
  const project = await store.tasks.project(row.projectKey);
  if (!project && caller.session !== undefined)
    return newTaskRow(store, caller, taskKey, { ...task, projectKey: await agentsProject(store, caller.session, row, task) });
  return { ...row, repositoryPath: row.repositoryPath ?? project?.repositoryPath ?? null };
}

/** A project's first task says for good where it is: no agent makes that one. Unless it names a project, its task is in its own. */
async function agentsProject(store: Store, sessionUlid: string, { projectKey }: TaskToMake, task: NewTask): Promise<string> {
  const own = (await store.sessions.get(sessionUlid))?.projectKey ?? null;
  if (own !== null && task.projectKey === undefined && (await store.tasks.project(own))) return own;
  throw denied(
    "projectKey",
    `There is no project ${projectKey}, and agents make none: name one that is there, or ask a person to make its first task.`,
    own ?? undefined,
  );
}

/** Its project is the key's part before the last "-". */
function asRow(taskKey: string, task: NewTask): TaskToMake {
  return {
    taskKey,
    projectKey: task.projectKey ?? (taskKey.includes("-") ? taskKey.slice(0, taskKey.lastIndexOf("-")) : taskKey),
    title: task.title ?? taskKey,
    description: task.description ?? "",
    acceptanceCriteria: task.acceptanceCriteria ?? [],
    requirements: task.requirements ?? [],
    baseRef: task.baseRef ?? null,
    assigneeHandle: task.assigneeHandle?.replace(/^@/, "") ?? null,
    reviewerHandles: (task.reviewerHandles ?? []).map((h) => h.replace(/^@/, "")),
    metadata: {},
    repositoryPath: task.repositoryPath ?? null,
  };
}
