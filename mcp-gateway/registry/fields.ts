import { z } from "zod";
import { waitFields } from "../../contracts/preset.schema.ts";

const count = z.number().int().min(1);
const seconds = count.max(86_400);

/** Fields that several actions share. Descriptions are what a model reads: what it is, unit, default. No defaults here: the request's fingerprint is of what was sent. */
export const fields = {
  clientRequestId: z.string().min(1).max(120).describe("Your key for this request, 1-120 characters: repeating the call with it never does the thing twice"),
  sessionUlid: z.string().min(1).describe("A session's ULID or its name (PROJ-42/executor-1)"),
  actor: z.string().min(1).max(200).describe("Whom you act as"),
  prompt: z.string().min(1).describe("The message, at most 256 KB"),
  waitMs: z.number().int().min(0).describe("Wait for news at most this long, ms (at most 25000)"),
  maxBytes: z.number().int().min(1_000).max(204_800).describe("Largest answer, bytes (default 32768)"),
  sinceSeq: z.number().int().min(0).describe("Cursor, exclusive: nextSeq of the last answer"),
  taskKey: z.string().min(1).max(64).describe("Key of a task, like PROJ-42"),
  chainId: z.string().min(1).describe("A chain's ULID"),
  rootUlid: z.string().min(1).describe("A session and all below it"),
  reason: z.string().max(2_000).describe("Why"),
  launcherConfigKey: z.string().min(1).max(160).describe("Key of a launcher preset, like coder-opencode"),
  handle: z.string().min(1).max(200),
  config: z
    .strictObject({
      command: z.array(z.string().min(1)).min(1).optional(),
      wrapper: z.array(z.string().min(1)).optional(),
      model: z.string().optional(),
      scenario: z.unknown().optional(),
      env: z
        .array(z.strictObject({ name: z.string(), valueRef: z.string() }))
        .max(50)
        .optional(),
      ...waitFields,
    })
    .describe("Overrides of the preset: command (argv of an ACP agent), wrapper, model, scenario, env, keepAliveMs, sessionIdleCloseMs"),
  worktree: z
    .strictObject({
      baseRef: z.string().optional(),
      branchPrefix: z.string().optional(),
      templateRef: z.string().optional(),
      projectKey: z.string().optional(),
      disabled: z.boolean().optional(),
    })
    .describe(
      "baseRef (where to start; a session's ULID: its tree), branchPrefix (default baton/), templateRef (files laid over), projectKey, disabled (work in the repository itself)",
    ),
  limits: z
    .strictObject({
      wallSeconds: seconds.optional(),
      idleSeconds: seconds.optional(),
      turns: count.optional(),
      tokens: count.optional(),
      costMicros: count.optional(),
    })
    .describe("wallSeconds (agent time over all turns), idleSeconds, turns, tokens, costMicros"),
  env: z
    .array(z.strictObject({ name: z.string(), valueRef: z.string() }))
    .max(50)
    .describe("[{name, valueRef: env:NAME}], by reference only"),
  tools: z.array(z.string().min(1).max(100)).max(50).describe("Tools the agent may use"),
  labels: z.record(z.string(), z.string()).describe("Your own labels, name to value"),
};

const taskFields = {
  title: z.string().min(1).max(300).optional().describe("Title"),
  description: z.string().max(100_000).optional().describe("What is to be done, Markdown"),
  acceptanceCriteria: z.array(z.string()).max(100).optional().describe("When it is done"),
  requirements: z.array(z.string()).max(100).optional().describe("What must hold"),
  repositoryPath: z.string().optional().describe("Absolute path of the git repository to work in"),
  projectKey: z.string().optional().describe("Project (default: the key's part before the last dash)"),
  baseRef: z.string().optional().describe("Branch, tag or commit to start at (default: HEAD)"),
  assigneeHandle: z.string().optional().describe("Who does it"),
  reviewerHandles: z.array(z.string()).optional().describe("Who reviews it"),
};
export { taskFields };

const member = z.strictObject({ agentHandle: z.string().optional(), launcherConfigKey: z.string() });
export const chainField = z
  .strictObject({
    reviewers: z.array(member).max(10).optional(),
    auditor: member.nullable().optional(),
    maxRounds: z.number().int().min(1).max(20).optional(),
    turnDeadlineSeconds: z.number().int().min(10).max(604_800).optional(),
    gates: z
      .strictObject({
        reviews: z
          .strictObject({ quorum: z.union([z.literal("all"), z.number().int().min(0)]).optional(), minScore: z.number().min(0).max(100).optional() })
          .optional(),
        audit: z
          .strictObject({ minScore: z.number().min(0).max(100).optional() })
          .nullable()
          .optional(),
        // What there is no other choice for yet: a caller may say so.
        checklist: z.boolean().optional(),
        checks: z.array(z.never()).max(0, "check commands are not run yet").optional(),
        human: z.null("a gate of people is not there yet").optional(),
      })
      .optional(),
    merge: z.enum(["none"], "only none: the verified work stays on its branch").optional(),
    cleanup: z.enum(["keep", "close"], "keep or close: its sessions are closed, their worktrees stay").optional(),
  })
  .describe(
    "Reviews and audit of the work: reviewers [{agentHandle, launcherConfigKey}], auditor, maxRounds (3), gates {reviews {quorum, minScore 90}, audit {minScore 80}}",
  );
