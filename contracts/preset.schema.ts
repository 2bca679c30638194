import { z } from "zod";
import { agentScopes } from "./scopes.ts";

/** A variable of an agent's environment: its name and where the value comes from, never the value. */
const environment = z
  .array(
    z.strictObject({
      name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "a name of an environment variable"),
      valueRef: z.string().regex(/^env:[A-Za-z_][A-Za-z0-9_]*$/, 'a reference, "env:NAME" of the host, never the value itself'),
    }),
  )
  .max(100);

/** One rule of a preset's permissions; the first that matches decides. */
const permissionRule = z.strictObject({
  tool: z.string().min(1).max(200),
  pathGlob: z.string().min(1).max(500).optional(),
  commandPrefix: z.string().min(1).max(500).optional(),
  decision: z.enum(["allow", "deny", "ask"]),
});

const argv = z.array(z.string().min(1)).min(1).max(100);

/** Milliseconds: how long an idle agent's process, and an idle session, are kept. */
export const waitFields = {
  keepAliveMs: z.number().int().min(0).max(86_400_000).optional(),
  sessionIdleCloseMs: z.number().int().min(1_000).max(2_592_000_000).optional(),
};

/** The parts of a preset, each as a caller may send it. */
export const presetFields = {
  displayName: z.string().min(1).max(200),
  providerType: z.enum(["claude", "codex", "opencode", "gemini", "acp", "scripted"]),
  description: z.string().max(2_000),
  tags: z.array(z.string().min(1).max(60)).max(20),
  config: z.strictObject({
    command: argv.optional(),
    wrapper: argv.optional(),
    model: z.string().min(1).max(200).optional(),
    scenario: z.unknown().optional(),
    env: environment.optional(),
    ...waitFields,
  }),
  env: environment,
  worktree: z.strictObject({ shouldCreateWorktree: z.boolean().optional(), allowReuseExistingWorktree: z.boolean().optional() }),
  permissions: z.strictObject({
    mode: z.enum(["deny-all", "approve-reads", "ask", "approve-all"]),
    outsideWorkspace: z.enum(["ask", "deny"]).optional(),
    rules: z.array(permissionRule).max(100).optional(),
    deadlineSeconds: z.number().int().min(1).max(2_592_000).optional(),
    onDeadline: z.enum(["deny", "wait"]).optional(),
  }),
  limits: z.strictObject({
    wallSeconds: z.number().int().min(1).max(86_400).optional(),
    idleSeconds: z.number().int().min(1).max(86_400).optional(),
    turns: z.number().int().min(1).max(10_000).optional(),
    tokens: z.number().int().min(1).optional(),
    costMicros: z.number().int().min(1).optional(),
  }),
  bootstrapCommands: z.array(z.string().min(1).max(4_000)).max(50),
  tools: z.array(z.string().min(1).max(200)).max(100),
  allowAdhocOverrides: z.boolean(),
  agentScopes: z.array(z.enum(agentScopes)).max(3),
};

export const presetKey = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,159}$/, 'letters, digits, ".", "_" and "-", at most 160, beginning with a letter or digit');

/** `presets/<key>.json`. A reviewer's or auditor's preset reads unless it says otherwise, and is never told to approve everything. */
export const presetFile = z
  .strictObject({
    key: presetKey,
    displayName: presetFields.displayName.optional(),
    providerType: presetFields.providerType,
    description: presetFields.description.optional(),
    tags: presetFields.tags.optional(),
    config: presetFields.config.default({}),
    env: presetFields.env.optional(),
    worktree: presetFields.worktree.optional(),
    permissions: presetFields.permissions.optional(),
    limits: presetFields.limits.optional(),
    bootstrapCommands: presetFields.bootstrapCommands.optional(),
    tools: presetFields.tools.optional(),
    allowAdhocOverrides: presetFields.allowAdhocOverrides.optional(),
    agentScopes: presetFields.agentScopes.optional(),
    revision: z.number().int().min(1).default(1),
  })
  .transform((file) => ({ ...file, permissions: file.permissions ?? { mode: judges(file.key) ? ("approve-reads" as const) : ("ask" as const) } }))
  .refine((file) => !(judges(file.key) && file.permissions.mode === "approve-all"), {
    path: ["permissions", "mode"],
    message: "a reviewer or auditor reads what it judges: approve-reads, ask or deny-all",
  });

function judges(key: string): boolean {
  return /^(reviewer|auditor)-/.test(key);
}
