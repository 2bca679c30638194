import { taskKeyPattern, branchPattern } from "../contracts/workspaces.ts";
import { nearest } from "../contracts/did-you-mean.ts";
import { BatonError } from "../contracts/failures.ts";
import type { EffectiveLaunch, Preset } from "../contracts/preset.ts";
import type { TaskRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { minimalSystemPrompt, taskPrompt } from "./compose-prompt.ts";
import type { Deps } from "./deps.ts";
import { effectiveLaunch, type LaunchOverrides } from "./effective-launch.ts";
import { loadPresets } from "./presets.ts";

export interface NewTask {
  title?: string;
  description?: string;
  acceptanceCriteria?: string[];
  requirements?: string[];
  repositoryPath?: string;
  projectKey?: string;
  baseRef?: string;
  assigneeHandle?: string;
  reviewerHandles?: string[];
}
export interface ChainMember {
  agentHandle?: string;
  launcherConfigKey: string;
}
export interface ChainRequest {
  reviewers?: ChainMember[];
  auditor?: ChainMember | null;
  maxRounds?: number;
  gates?: { reviews?: { quorum?: "all" | number; minScore?: number }; audit?: { minScore?: number } | null };
  turnDeadlineSeconds?: number;
}

/** What `launch_task` takes, and `start` beside it. */
export interface LaunchArgs {
  clientRequestId?: string;
  actor?: string;
  taskKey: string;
  launcherConfigKey: string;
  agentHandle?: string;
  agentId?: string;
  provider?: string;
  role?: string;
  prompt?: string;
  systemPrompt?: string;
  additionalInstructions?: string;
  capabilityKeys?: string[];
  worktree?: { baseRef?: string; branchPrefix?: string; disabled?: boolean; templateRef?: string };
  config?: Omit<LaunchOverrides, "wallSeconds">;
  maxRuntimeSeconds?: number;
  limits?: { wallSeconds?: number };
  labels?: Record<string, string>;
  run?: boolean;
  task?: NewTask;
  chain?: ChainRequest;
  /** `start`: what the session is about, when it is not a task */
  contextRef?: string;
  repositoryPath?: string;
}

/** A checked launch: all that can be refused has been. */
export interface LaunchPlan {
  task: TaskRow | null;
  /** the task to make with the session; its repository, resolved */
  newTask: (Omit<TaskRow, "createdAt" | "updatedAt" | "status"> & { repositoryPath: string | null }) | null;
  contextRef: string;
  role: string;
  agentHandle: string;
  preset: Preset;
  effective: EffectiveLaunch;
  repositoryPath: string;
  baseRef: string;
  branch: string;
  prompt: string;
  systemPrompt: string;
  warnings: string[];
}

const promptLimit = 262_144;

/** Checks a launch against presets, task, repository and machine, and composes its prompts. Makes nothing. Errors: BatonError. */
export async function planLaunch(deps: Deps, store: Store, args: LaunchArgs): Promise<LaunchPlan> {
  if (args.contextRef === undefined && !taskKeyPattern.test(args.taskKey))
    throw invalid("taskKey", `"${args.taskKey}" is no task key: letters, digits, ".", "_" and "-", at most 64, beginning with a letter or digit.`);
  const warnings = ignored(args);
  const preset = await findPreset(deps, args.launcherConfigKey);
  if (args.provider !== undefined && args.provider !== preset.providerType)
    throw invalid("provider", `Preset "${preset.key}" is for ${preset.providerType}, not ${args.provider}: leave provider out or take another preset.`, [
      preset.providerType,
    ]);
  const task = await store.tasks.get(args.taskKey);
  const newTask = task ? null : await taskToMake(store, args);
  if (task && args.task) warnings.push(`Task ${task.taskKey} exists: "task" was ignored.`);
  const asked = args.repositoryPath ?? (task ? (await store.tasks.project(task.projectKey))?.repositoryPath : newTask?.repositoryPath);
  if (!asked) throw invalid("task.repositoryPath", "Give the absolute path of the git repository to work in.");
  const base = args.worktree?.baseRef ?? task?.baseRef ?? newTask?.baseRef ?? undefined;
  const repository = await deps.options.inspectRepository(asked, base);
  const wall = Math.min(args.maxRuntimeSeconds ?? Infinity, args.limits?.wallSeconds ?? Infinity);
  const effective = await effectiveLaunch(preset, { ...args.config, ...(Number.isFinite(wall) ? { wallSeconds: wall } : {}) }, deps.options.searchPath);
  const role = args.role ?? "executor";
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(role)) throw invalid("role", `"${role}" is no role: lower-case letters, digits and dashes.`);
  const agentHandle = (args.agentHandle ?? args.agentId ?? preset.key).replace(/^@/, "");
  // A bare contextRef that is a task's key means the task.
  const contextRef = task ? `TASK-${task.taskKey}` : (args.contextRef ?? `TASK-${args.taskKey}`);
  const branch = `${args.worktree?.branchPrefix ?? "baton/"}${args.contextRef === undefined ? args.taskKey : args.contextRef.replace(/[^A-Za-z0-9._-]+/g, "-")}`;
  if (!branchPattern.test(branch)) throw invalid("worktree.branchPrefix", `"${branch}" is no branch name that Baton makes.`);
  if (args.worktree?.disabled)
    throw new BatonError("UNSUPPORTED_BY_PROVIDER", "Working in the repository itself is not part of this version: leave worktree.disabled out.", {
      field: "worktree.disabled",
    });
  const about = task ?? (newTask && ({ ...newTask, status: "", createdAt: "", updatedAt: "" } satisfies TaskRow & { repositoryPath: unknown }));
  const prompt = args.prompt ?? (about ? taskPrompt(about, args.additionalInstructions) : "");
  checkPrompt(prompt);
  const systemPrompt = args.systemPrompt ?? minimalSystemPrompt({ agentHandle, role, contextRef });
  return {
    task,
    newTask: newTask && { ...newTask, repositoryPath: repository.path },
    contextRef,
    role,
    agentHandle,
    preset,
    effective,
    repositoryPath: repository.path,
    baseRef: base ?? repository.headBranch ?? repository.head,
    branch,
    prompt,
    systemPrompt,
    warnings,
  };
}

/** Error: INVALID_ARGUMENT above 256 KB. */
export function checkPrompt(prompt: string): void {
  const bytes = Buffer.byteLength(prompt);
  if (bytes > promptLimit)
    throw new BatonError("LIMIT_EXCEEDED", `The prompt has ${bytes} bytes, ${promptLimit} are allowed: put long material in a file of the repository.`, {
      field: "prompt",
      allowed: promptLimit,
    });
}

/** Error: NOT_FOUND with the keys there are. */
export async function findPreset(deps: Deps, key: string): Promise<Preset> {
  const { presets, problems } = await loadPresets(deps.options.home);
  const preset = presets.find((p) => p.key === key);
  if (preset) return preset;
  const own = problems.find((problem) => problem.includes(`/${key}.json`));
  const keys = presets.map((p) => p.key);
  const near = nearest(key, keys);
  const unknown = `There is no preset "${key}".${near ? ` Did you mean "${near}"?` : ""} Presets: ${keys.join(", ")}.`;
  throw new BatonError(own ? "INVALID_ARGUMENT" : "NOT_FOUND", own ?? unknown, { field: "launcherConfigKey", allowed: keys });
}

/** Turns a task as sent into the row to insert. Error: NOT_FOUND without one, INVALID_ARGUMENT without a repository. */
async function taskToMake(store: Store, args: LaunchArgs): Promise<LaunchPlan["newTask"]> {
  if (args.contextRef !== undefined) return null;
  if (!args.task) {
    const example = { action: "create", taskKey: args.taskKey, title: "…", repositoryPath: "/absolute/path" };
    throw new BatonError("NOT_FOUND", `There is no task ${args.taskKey}: create it with pm_task create, or send "task" with title and repositoryPath here.`, {
      field: "taskKey",
      next: [{ tool: "pm_task", args: example, why: "make the task first" }],
    });
  }
  return newTaskRow(store, args.taskKey, args.task);
}

/** A task as sent, as the row to insert; its project is the key's part before the last "-". */
export async function newTaskRow(store: Store, taskKey: string, task: NewTask): Promise<NonNullable<LaunchPlan["newTask"]>> {
  const projectKey = task.projectKey ?? (taskKey.includes("-") ? taskKey.slice(0, taskKey.lastIndexOf("-")) : taskKey);
  const project = await store.tasks.project(projectKey);
  return {
    taskKey,
    projectKey,
    title: task.title ?? taskKey,
    description: task.description ?? "",
    acceptanceCriteria: task.acceptanceCriteria ?? [],
    requirements: task.requirements ?? [],
    baseRef: task.baseRef ?? null,
    assigneeHandle: task.assigneeHandle?.replace(/^@/, "") ?? null,
    reviewerHandles: (task.reviewerHandles ?? []).map((h) => h.replace(/^@/, "")),
    metadata: {},
    repositoryPath: task.repositoryPath ?? project?.repositoryPath ?? null,
  };
}

function ignored(args: LaunchArgs): string[] {
  const found = (args.capabilityKeys ?? []).map((key) => `Capability "${key}" is not known here: its section of the prompt is missing.`);
  if (args.worktree?.templateRef !== undefined) found.push("worktree.templateRef is not part of this version and was ignored.");
  return found;
}

function invalid(field: string, message: string, allowed?: unknown): BatonError {
  return new BatonError("INVALID_ARGUMENT", message, { field, ...(allowed === undefined ? {} : { allowed }) });
}
