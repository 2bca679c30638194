import { z } from "zod";
import { action, type Action } from "./action.ts";
import { fields as f } from "./fields.ts";

const tool = "pm_session";
const opt = { sinceSeq: f.sinceSeq.optional(), waitMs: f.waitMs.optional(), maxBytes: f.maxBytes.optional() };

export const sessionReads: Action[] = [
  action({
    tool,
    action: "list",
    scope: "session:read",
    description: "sessions, newest first; attention: true for those that wait for somebody",
    example: { action: "list", limit: 20 },
    schema: z.strictObject({
      limit: z.number().int().min(1).optional().describe("At most this many (default 200)"),
      contextRef: z.string().optional().describe("What the session is about: TASK-<taskKey>, or the bare key"),
      status: z.string().optional().describe("RUNNING, IDLE, CLOSED, FAILED, or a state"),
      role: z.string().optional().describe("Role, like executor"),
      agentHandle: f.handle.optional().describe("Name of the agent"),
      projectKey: z.string().optional().describe("Project"),
      label: z.string().optional().describe("A label: name, or name=value"),
      parentUlid: z.string().optional().describe("Session that launched it"),
      rootUlid: f.rootUlid.optional(),
      chainId: f.chainId.optional(),
      attention: z.boolean().optional().describe("Only what waits for somebody"),
      cursor: z.string().optional().describe("page.nextCursor of the last answer"),
    }),
    handle: (baton, _, args) => baton.sessions.list(given(args)),
  }),
  action({
    tool,
    action: "get",
    scope: "session:read",
    description: "one session (or chain) with status, turns, usage, what it waits for",
    example: { action: "get", sessionUlid: "PROJ-42/executor-1" },
    schema: z.strictObject({ sessionUlid: f.sessionUlid.optional(), chainId: f.chainId.optional(), turnId: z.string().optional().describe("An older turn") }),
    handle: async (baton, _, args) => ({ data: await baton.sessions.get(given(args)) }),
  }),
  action({
    tool,
    action: "events",
    scope: "session:read",
    description: "durable events after a cursor, or all of them",
    example: { action: "events", sessionUlid: "PROJ-42/executor-1", sinceSeq: 0, waitMs: 10_000 },
    schema: z.strictObject({
      sessionUlid: f.sessionUlid,
      ...opt,
      limit: z.number().int().min(1).max(1_000).optional().describe("At most this many (default 1000)"),
      types: z.array(z.string()).optional().describe("Only these types"),
      turnId: z.string().optional().describe("An older turn"),
      tail: z.number().int().min(1).max(1_000).optional().describe("The newest n"),
      textMaxLength: z.number().int().min(1).optional().describe("Cut longer texts, characters"),
      format: z.enum(["json", "transcript"]).optional().describe("transcript: Markdown"),
    }),
    handle: async (baton, _, args, signal) => ({ data: await baton.sessions.events(given(args), signal) }),
  }),
  action({
    tool,
    action: "live_deltas",
    scope: "session:read",
    description: "streaming text after its own cursor",
    example: { action: "live_deltas", sessionUlid: "PROJ-42/executor-1", sinceSeq: 0, waitMs: 10_000 },
    schema: z.strictObject({
      sessionUlid: f.sessionUlid,
      ...opt,
      gatherMs: z.number().int().min(0).max(1_000).optional().describe("ms to gather more after the first (default 200)"),
    }),
    handle: async (baton, _, args, signal) => ({ data: await baton.sessions.liveDeltas(given(args), signal) }),
  }),
  action({
    tool,
    action: "approvals",
    scope: "session:read",
    description: "what agents and chains wait for; state: open (default), answered, delivered, expired",
    example: { action: "approvals" },
    schema: z.strictObject({
      sessionUlid: f.sessionUlid.optional(),
      chainId: f.chainId.optional(),
      state: z.string().optional().describe("State of the approvals (default open)"),
      cursor: z.string().optional().describe("page.nextCursor of the last answer"),
    }),
    handle: (baton, _, args) => baton.sessions.approvals(given(args)),
  }),
  action({
    tool,
    action: "wait",
    scope: "session:read",
    description: "wait until sessions, a chain or a task's sessions need attention, are idle, end a turn or close",
    example: { action: "wait", sessionUlids: ["PROJ-42/executor-1"], until: "idle", waitMs: 25_000 },
    schema: z.strictObject({
      sessionUlids: z.array(z.string()).max(50).optional().describe("ULIDs or names"),
      sessionUlid: f.sessionUlid.optional(),
      rootUlid: f.rootUlid.optional(),
      chainId: f.chainId.optional(),
      taskKey: f.taskKey.optional(),
      until: z.enum(["attention", "idle", "turn", "closed"]).optional().describe("What for (default attention)"),
      mode: z.enum(["any", "all"]).optional().describe("any (default) or all of them"),
      cursors: z
        // As answers have them, or their `events` alone.
        .record(z.string(), z.union([z.number(), z.strictObject({ events: z.number(), deltas: z.number().optional() })]))
        // Each is looked up before the wait begins: as many as there may be sessions.
        .refine((cursors) => Object.keys(cursors).length <= 50, "at most 50 cursors")
        .optional()
        .describe("Event cursor by ULID: what counts must come after it"),
      waitMs: f.waitMs.optional(),
    }),
    handle: async (baton, _, args, signal) => ({ data: await baton.sessions.wait(given(args), signal) }),
  }),
  action({
    tool,
    action: "diff",
    scope: "session:read",
    description: "what a turn changed: unified diff and lines per file",
    example: { action: "diff", sessionUlid: "PROJ-42/executor-1", stat: true },
    schema: z.strictObject({
      sessionUlid: f.sessionUlid,
      turnId: z.string().optional().describe("An older turn"),
      against: z.enum(["base", "previous"]).optional().describe("base (default), or the turn before"),
      path: z.string().min(1).optional().describe("Only this file or folder"),
      stat: z.boolean().optional().describe("Only the files"),
      maxBytes: f.maxBytes.optional(),
    }),
    handle: async (baton, _, args) => ({ data: await baton.sessions.diff(given(args)) }),
  }),
  action({
    tool,
    action: "tree",
    scope: "session:read",
    description: "who launched whom, with status, reason and cost",
    example: { action: "tree", rootUlid: "PROJ-42/executor-1" },
    schema: z.strictObject({ rootUlid: f.rootUlid.optional(), sessionUlid: f.sessionUlid.optional() }),
    handle: async (baton, _, args) => ({ data: await baton.sessions.tree(given(args)) }),
  }),
];

/** Parsed arguments as the SDK takes them: no key is there with `undefined`. */
export function given<T extends object>(args: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(args).filter(([, value]) => value !== undefined)) as never;
}
