import { z } from "zod";
import type { LaunchArgs } from "../../client/launch-plan.ts";
import type { Launched } from "../../client/launch.ts";
import type { Baton } from "../../client/open-baton.ts";
import { BatonError } from "../../contracts/failures.ts";
import { action, type Action, type Answer } from "./action.ts";
import { chainField, fields as f, taskFields } from "./fields.ts";
import { askForTurn } from "./next-calls.ts";
import { given } from "./session-reads.ts";

const tool = "pm_session";
const parentUlid = z.string().describe("Session that launched it");
const about = {
  agentHandle: f.handle.optional().describe("Name of the agent"),
  provider: z.enum(["claude", "codex", "opencode", "gemini", "acp", "scripted"]).optional().describe("Must match the preset"),
  role: z.string().max(32).optional().describe("Role, like executor (default)"),
  worktree: f.worktree.optional(),
  config: f.config.optional(),
  limits: f.limits.optional(),
  labels: f.labels.optional(),
  systemPrompt: z.string().optional().describe("System prompt"),
};

/** What makes a session. */
export const sessionLaunches: Action[] = [
  action({
    tool,
    action: "launch_task",
    scope: "session:launch",
    description: "start an agent (or with chain: agent, reviewers and auditor) on a task in its own git worktree",
    example: {
      action: "launch_task",
      clientRequestId: "my-key-1",
      actor: "@me",
      taskKey: "PROJ-42",
      launcherConfigKey: "coder-opencode",
      task: { title: "Fix the build", repositoryPath: "/absolute/path" },
    },
    schema: z.strictObject({
      clientRequestId: f.clientRequestId,
      actor: f.actor,
      taskKey: f.taskKey,
      launcherConfigKey: f.launcherConfigKey,
      ...about,
      agentId: z.string().optional().describe("Id of an agent"),
      prompt: f.prompt.optional(),
      capabilityKeys: z.array(z.string()).max(50).optional().describe("Capabilities to add to the prompt"),
      sessionUlidToAudit: z.string().optional().describe("Session whose record is to be audited"),
      additionalInstructions: z.string().optional().describe("Added to the task's prompt"),
      maxRuntimeSeconds: z.number().int().min(1).max(86_400).optional().describe("Agent time, seconds"),
      run: z.boolean().optional().describe("false: no turn until run or input"),
      task: z
        .strictObject(taskFields)
        .optional()
        .describe("Makes the task when the key is new: title, description, acceptanceCriteria, repositoryPath, baseRef"),
      chain: chainField.optional(),
      parentUlid: parentUlid.optional(),
      tools: f.tools.optional(),
      onSettled: z.enum(["input"]).optional().describe("input: the launching session gets an input each time this one has settled"),
      dryRun: z.boolean().optional().describe("Check and show only, make nothing"),
    }),
    handle: async (baton, caller, args) => launched(await baton.sessions.launch(caller, given(args) as LaunchArgs), args.run !== false),
  }),
  action({
    tool,
    action: "start",
    scope: "session:launch",
    description: "a session without a turn, until run or input",
    example: {
      action: "start",
      clientRequestId: "my-key-2",
      actor: "@me",
      contextRef: "spike-1",
      role: "executor",
      provider: "opencode",
      systemPrompt: "You are careful.",
      launcherConfigKey: "coder-opencode",
      repositoryPath: "/absolute/path",
    },
    schema: z.strictObject({
      clientRequestId: f.clientRequestId,
      actor: f.actor,
      contextRef: z.string().min(1).max(120).describe("What the session is about: TASK-<taskKey>, or the bare key"),
      role: z.string().max(32).describe("Role, like executor"),
      systemPrompt: z.string().min(1).describe("System prompt"),
      provider: z.enum(["claude", "codex", "opencode", "gemini", "acp", "scripted"]).describe("Must match the preset"),
      launcherConfigKey: f.launcherConfigKey.optional(),
      agentHandle: f.handle.optional().describe("Name of the agent"),
      worktree: f.worktree.optional(),
      config: f.config.optional(),
      limits: f.limits.optional(),
      labels: f.labels.optional(),
      env: f.env.optional(),
      tools: f.tools.optional(),
      bootstrapCommands: z.array(z.string().min(1).max(10_000)).max(20).optional().describe("Shell lines for the fresh workspace (operator)"),
      parentUlid: parentUlid.optional(),
      repositoryPath: z.string().optional().describe("Absolute path of the git repository to work in"),
    }),
    handle: async (baton, caller, args) => {
      const sent = given(args);
      const task = sent.contextRef.replace(/^TASK-/, "");
      const launcherConfigKey = sent.launcherConfigKey ?? (await presetFor(baton, sent));
      return launched(await baton.sessions.start(caller, { ...sent, taskKey: task, launcherConfigKey } as LaunchArgs), false);
    },
  }),
];

/** Without a key: the provider's preset of that role (reviewers and auditors only read), else its coder's. Error: INVALID_ARGUMENT when it has none. */
async function presetFor(baton: Baton, { role, provider }: { role: string; provider: string }): Promise<string> {
  const own = role === "reviewer" || role === "auditor" ? [`${role}-${provider}`] : [];
  const absent = (error: unknown) => (error instanceof BatonError && error.code === "NOT_FOUND" ? null : Promise.reject(error));
  for (const key of [...own, `coder-${provider}`]) if (await baton.presets.get(key).catch(absent)) return key;
  throw new BatonError("INVALID_ARGUMENT", `Give launcherConfigKey: "${provider}" has no preset of its own.`, {
    field: "launcherConfigKey",
    next: [{ tool: "pm_provider", args: { action: "list_presets" }, why: "which presets there are" }],
  });
}

/** `turn`: it was launched to begin at once. Else what helps first is to ask for one. */
function launched({ data, warnings }: Launched, turn: boolean): Answer {
  if (data["dryRun"]) return { data, ...(warnings.length > 0 ? { warnings } : {}) };
  const sessionUlid = data["sessionUlid"];
  const chainId = data["chainId"];
  const wait = chainId ? { action: "wait", chainId } : { action: "wait", sessionUlids: [sessionUlid], until: "idle" };
  // A repeat of the call may find that somebody has asked for one meanwhile.
  const first = turn || data["state"] === "running" || data["state"] === "waiting" ? { tool, args: wait, why: "until it needs you" } : askForTurn(sessionUlid);
  return {
    data,
    next: [first, { tool, args: { action: "events", sessionUlid, sinceSeq: 0 }, why: "what it does" }],
    ...(warnings.length > 0 ? { warnings } : {}),
  };
}
