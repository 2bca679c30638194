import { z } from "zod";
import { action, type Action } from "./action.ts";
import { fields as f, taskFields } from "./fields.ts";
import { given } from "./session-reads.ts";

const tool = "pm_task";
const key = { clientRequestId: f.clientRequestId.optional(), actorHandle: z.string().optional().describe("Whom you act as") };

export const tasks: Action[] = [
  action({
    tool,
    action: "create",
    scope: "session:control",
    description: "make a task",
    example: { action: "create", taskKey: "PROJ-42", title: "Fix the build", repositoryPath: "/absolute/path" },
    schema: z.strictObject({ taskKey: f.taskKey, ...taskFields, ...key }),
    handle: async (baton, caller, args) => ({ data: await baton.tasks.create(caller, given(args)) }),
  }),
  action({
    tool,
    action: "get",
    scope: "session:read",
    description: "one task",
    example: { action: "get", taskKey: "PROJ-42" },
    schema: z.strictObject({ taskKey: f.taskKey, maxBytes: f.maxBytes.optional() }),
    handle: async (baton, _, args) => ({ data: await baton.tasks.get(args.taskKey, given(args)) }),
  }),
  action({
    tool,
    action: "list",
    scope: "session:read",
    description: "tasks, by project, status or assignee; of a long description the beginning",
    example: { action: "list", status: "in_progress" },
    schema: z.strictObject({
      projectKey: taskFields.projectKey,
      status: z.string().optional().describe("backlog, to_do, in_progress, in_review, verified, done"),
      assigneeHandle: taskFields.assigneeHandle,
      limit: z.number().int().min(1).max(200).optional().describe("At most this many (default 100)"),
      cursor: z.string().optional().describe("page.nextCursor of the last answer"),
    }),
    handle: (baton, _, args) => baton.tasks.list(given(args)),
  }),
  action({
    tool,
    action: "change_status",
    scope: "session:control",
    description: "move a task; verified and done only through its gates",
    example: { action: "change_status", taskKey: "PROJ-42", to: "in_review" },
    schema: z.strictObject({
      taskKey: f.taskKey,
      to: z.string().describe("backlog, to_do, in_progress, in_review, verified, done"),
      reason: f.reason.optional(),
      ...key,
    }),
    handle: async (baton, caller, args) => ({ data: await baton.tasks.changeStatus(caller, given(args)) }),
  }),
];
