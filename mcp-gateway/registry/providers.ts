import { z } from "zod";
import type { Baton } from "../../client/open-baton.ts";
import { presetFields } from "../../contracts/preset.schema.ts";
import { action, type Action, type Answer } from "./action.ts";
import { fields as f } from "./fields.ts";
import { given } from "./session-reads.ts";

const tool = "pm_provider";
type PresetArgs = Parameters<Baton["presets"]["create"]>[1];
const key = z.string().min(1).max(160).describe("Key of a preset, like coder-opencode");
const request = { clientRequestId: f.clientRequestId.optional(), actor: f.actor.optional() };
const p = presetFields;
const content = {
  displayName: p.displayName.optional().describe("Name for people"),
  description: p.description.optional().describe("What it is for"),
  tags: p.tags.optional().describe("Words to find it by"),
  config: p.config
    .optional()
    .describe(
      "command (argv of an ACP agent), wrapper (argv before it), model, scenario (a scripted agent's), env [{name, valueRef}], keepAliveMs (idle agent), sessionIdleCloseMs (idle session)",
    ),
  env: p.env.optional().describe("Environment by reference: [{name, valueRef: env:NAME}]"),
  worktree: p.worktree.optional().describe("shouldCreateWorktree, allowReuseExistingWorktree"),
  permissions: p.permissions
    .optional()
    .describe(
      "mode (deny-all, approve-reads, ask, approve-all), outsideWorkspace (ask, deny), rules [{tool, pathGlob, commandPrefix, decision}]: the first match decides",
    ),
  limits: p.limits.optional().describe("wallSeconds, idleSeconds, turns, tokens, costMicros"),
  bootstrapCommands: p.bootstrapCommands.optional().describe("Lines for sh -c in the workspace, before the first turn"),
  tools: p.tools.optional().describe("Tools the agent may use"),
  allowAdhocOverrides: p.allowAdhocOverrides.optional().describe("false: a launch's config is refused"),
  agentScopes: p.agentScopes
    .optional()
    .describe("What its agent's token may: of session:read, session:control, session:launch (default all; none: no gateway)"),
};
const providerType = p.providerType.describe("Agent runtime");

/** It is kept as it was given. */
const ignored = ({ worktree }: { worktree?: { allowReuseExistingWorktree?: boolean | undefined } | undefined }): Pick<Answer, "warnings"> =>
  worktree?.allowReuseExistingWorktree === undefined
    ? {}
    : { warnings: ['"worktree.allowReuseExistingWorktree" means nothing here and was ignored: every session has a worktree of its own.'] };

/** Launcher presets, and the agents of this machine. */
export const providers: Action[] = [
  action({
    tool,
    action: "list_presets",
    scope: "session:read",
    description: "launcher presets (launcherConfigKey), the built-in ones too",
    example: { action: "list_presets" },
    schema: z.strictObject({ includeProviderDefaults: z.boolean().optional().describe("false: without the built-in ones (default true)") }),
    handle: async (baton, _, args) => ({ data: await baton.presets.list(given(args)) }),
  }),
  action({
    tool,
    action: "get_preset",
    scope: "session:read",
    description: "one preset in full, with revision and hash",
    example: { action: "get_preset", key: "coder-opencode" },
    schema: z.strictObject({ key }),
    handle: async (baton, _, args) => ({ data: await baton.presets.get(args.key) }),
  }),
  action({
    tool,
    action: "list_providers",
    scope: "session:read",
    description: "agents found on this machine: version, path, logged in or not, capabilities, what to install",
    example: { action: "list_providers" },
    schema: z.strictObject({}),
    handle: async (baton) => ({ data: await baton.providers.list() }),
  }),
  action({
    tool,
    action: "create_preset",
    scope: "operator",
    description: "make a preset",
    example: { action: "create_preset", key: "my-agent", providerType: "acp", config: { command: ["my-agent", "--acp"] }, permissions: { mode: "ask" } },
    schema: z.strictObject({ key, providerType, ...content, ...request }),
    handle: async (baton, caller, args) => ({ data: await baton.presets.create(caller, given(args) as PresetArgs), ...ignored(args) }),
  }),
  action({
    tool,
    action: "update_preset",
    scope: "operator",
    description: "replace the given fields of a preset, as its next revision; sessions keep what they were launched with",
    example: { action: "update_preset", key: "coder-opencode", permissions: { mode: "ask", outsideWorkspace: "deny" } },
    schema: z.strictObject({
      key,
      providerType: providerType.optional(),
      ...content,
      revision: z.number().int().min(1).optional().describe("Only if it is still at this revision"),
      ...request,
    }),
    handle: async (baton, caller, args) => ({ data: await baton.presets.update(caller, given(args) as PresetArgs), ...ignored(args) }),
  }),
  action({
    tool,
    action: "delete_preset",
    scope: "operator",
    description: "remove a preset; a built-in one comes back as it was",
    example: { action: "delete_preset", key: "my-agent" },
    schema: z.strictObject({ key, ...request }),
    handle: async (baton, caller, args) => ({ data: await baton.presets.delete(caller, given(args)) }),
  }),
  action({
    tool,
    action: "test_preset",
    scope: "operator",
    description: "start the preset's agent, shake hands, end it: no model call",
    example: { action: "test_preset", key: "coder-opencode" },
    schema: z.strictObject({ key }),
    handle: async (baton, _, args) => ({ data: await baton.presets.test(args.key) }),
  }),
];
