import { taskKeyPattern } from "../contracts/workspaces.ts";
import { nearest } from "../contracts/did-you-mean.ts";
import { BatonError } from "../contracts/failures.ts";
import type { EffectiveLaunch, Limits, Override, Preset } from "../contracts/preset.ts";
import type { SessionRow, TaskRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { type Capability, definitionPlaces, findAgent, findCapabilities } from "./agents.ts";
import type { Caller } from "./caller.ts";
import { type ComposedPrompt, composePrompt } from "./compose-prompt.ts";
import type { Deps } from "./deps.ts";
import { effectiveLaunch, type LaunchOverrides, smaller } from "./effective-launch.ts";
import { mustBeAllowed } from "./launch-authority.ts";
import { overridesOf } from "./launch-overrides.ts";
import { taskOf } from "./launch-task.ts";
import { checkTools } from "./launch-tools.ts";
import { type PlannedWorkspace, planWorkspace, type WorktreeArgs } from "./launch-workspace.ts";
import { loadPresets } from "./presets.ts";
import { actorOf, findSession } from "./requests.ts";

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
  sessionUlidToAudit?: string;
  worktree?: WorktreeArgs;
  config?: Omit<LaunchOverrides, "limits" | "tools">;
  tools?: string[];
  env?: { name: string; valueRef: string }[];
  bootstrapCommands?: string[];
  maxRuntimeSeconds?: number;
  limits?: Limits;
  labels?: Record<string, string>;
  parentUlid?: string;
  run?: boolean;
  dryRun?: boolean;
  /** `input`: the launching session is told each time this one has settled */
  onSettled?: "input";
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
  projectKey: string | null;
  contextRef: string;
  role: string;
  agentHandle: string;
  parent: SessionRow | null;
  preset: Preset;
  effective: EffectiveLaunch;
  overrides: Override[];
  workspace: PlannedWorkspace;
  /** lines for the shell before the first turn: the preset's, then the caller's */
  bootstrap: string[];
  prompt: ComposedPrompt;
  warnings: string[];
}

const promptLimit = 262_144;

/** Checks a launch against presets, agents, task, repository and machine, and composes its prompts. Makes nothing. Errors: BatonError. */
export async function planLaunch(deps: Deps, store: Store, caller: Caller, args: LaunchArgs): Promise<LaunchPlan> {
  if (args.contextRef === undefined && !taskKeyPattern.test(args.taskKey))
    throw invalid("taskKey", `"${args.taskKey}" is no task key: letters, digits, ".", "_" and "-", at most 64, beginning with a letter or digit.`);
  checkLabels(args.labels ?? {});
  const preset = await findPreset(deps, args.launcherConfigKey);
  mustBeAllowed(caller, preset, args);
  if (args.provider !== undefined && args.provider !== preset.providerType)
    throw invalid("provider", `Preset "${preset.key}" is for ${preset.providerType}, not ${args.provider}: leave provider out or take another preset.`, [
      preset.providerType,
    ]);
  checkTools(preset, args.tools);
  const over = launchOverrides(args);
  const overrides = overridesOf(preset, over, actorOf(caller, { ...args }));

  const { task, newTask, warnings } = await taskOf(store, caller, args);
  const audited = args.sessionUlidToAudit === undefined ? null : await findSession(store, args.sessionUlidToAudit);
  const parent = args.parentUlid === undefined ? null : await findSession(store, args.parentUlid);
  // A bare contextRef that is a task's key means the task.
  const contextRef = task ? `TASK-${task.taskKey}` : (args.contextRef ?? `TASK-${args.taskKey}`);
  const known = task ? (await store.tasks.project(task.projectKey))?.repositoryPath : newTask?.repositoryPath;
  const workspace = await planWorkspace(deps, store, {
    caller,
    // What an agent launches always works in a worktree of its own.
    worktree: { ...(preset.worktree?.shouldCreateWorktree === false && !caller.session ? { disabled: true } : {}), ...args.worktree },
    repositoryPath: args.repositoryPath ?? known ?? undefined,
    base: task?.baseRef ?? newTask?.baseRef ?? undefined,
    audited,
    about: args.contextRef ?? args.taskKey,
  });
  const effective = await effectiveLaunch(preset, over, deps.options.searchPath);

  const places = definitionPlaces(deps.options.home, workspace.repositoryPath);
  const { agent, problems } = await findAgent(places, { ...args, fallback: preset.key });
  const role = args.role ?? agent.role ?? "executor";
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(role)) throw invalid("role", `"${role}" is no role: lower-case letters, digits and dashes.`);
  const attached = await findCapabilities(places, [...agent.capabilityKeys, ...(args.capabilityKeys ?? [])]);
  const about = task ?? (newTask && ({ ...newTask, status: "", createdAt: "", updatedAt: "" } satisfies TaskRow & { repositoryPath: unknown }));
  const prompt = composePrompt({
    agent,
    role,
    contextRef,
    inRepository: workspace.branch === null,
    task: about,
    capabilities: attached.capabilities,
    prompt: args.prompt,
    systemPrompt: args.systemPrompt,
    additionalInstructions: args.additionalInstructions,
    audited,
  });
  checkPrompt(prompt.firstPrompt);
  checkPrompt(prompt.systemPrompt, "systemPrompt");
  return {
    task,
    newTask: newTask && { ...newTask, repositoryPath: workspace.repositoryPath },
    projectKey: task?.projectKey ?? newTask?.projectKey ?? args.worktree?.projectKey ?? null,
    contextRef,
    role,
    agentHandle: agent.handle,
    parent,
    preset,
    effective,
    overrides,
    workspace,
    bootstrap: [...(preset.bootstrapCommands ?? []), ...(args.bootstrapCommands ?? [])],
    prompt,
    warnings: [...warnings, ...problems, ...attached.problems, ...promptWarnings(args, attached.capabilities)],
  };
}

/** What a launch asks for over its preset, from wherever in the arguments it stands. */
function launchOverrides(args: LaunchArgs): LaunchOverrides {
  const env = [...(args.config?.env ?? []), ...(args.env ?? [])];
  const limits = smaller(args.limits ?? {}, args.maxRuntimeSeconds === undefined ? {} : { wallSeconds: args.maxRuntimeSeconds });
  return { ...args.config, ...(env.length > 0 ? { env } : {}), ...(args.tools ? { tools: args.tools } : {}), limits };
}

function promptWarnings(args: LaunchArgs, capabilities: Capability[]): string[] {
  if (args.prompt === undefined && args.systemPrompt === undefined)
    return capabilities
      .filter((capability) => capability.text === null)
      .map(({ key }) => `Capability "${key}" is not known here: its section of the prompt is missing.`);
  const unused = (["capabilityKeys", "additionalInstructions"] as const).filter((name) => args[name]?.length);
  return unused.length === 0 || args.prompt === undefined ? [] : [`A prompt was given: ${unused.join(" and ")} are not part of it.`];
}

function checkLabels(labels: Record<string, string>): void {
  const wrong = Object.entries(labels).find(([name, value]) => name.length < 1 || name.length > 63 || value.length > 200);
  if (wrong || Object.keys(labels).length > 16)
    throw invalid("labels", wrong ? `Label "${wrong[0].slice(0, 63)}" is too long: names have at most 63 characters, values 200.` : "At most 16 labels.");
}

/** Error: LIMIT_EXCEEDED above 256 KB. */
export function checkPrompt(prompt: string, field = "prompt"): void {
  const bytes = Buffer.byteLength(prompt);
  if (bytes > promptLimit)
    throw new BatonError(
      "LIMIT_EXCEEDED",
      `The ${field === "prompt" ? "prompt" : "system prompt"} has ${bytes} bytes, ${promptLimit} are allowed: put long material in a file of the repository.`,
      {
        field,
        used: bytes,
        allowed: promptLimit,
      },
    );
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

function invalid(field: string, message: string, allowed?: unknown): BatonError {
  return new BatonError("INVALID_ARGUMENT", message, { field, ...(allowed === undefined ? {} : { allowed }) });
}
