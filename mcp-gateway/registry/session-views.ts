import { z } from "zod";
import { action, type Action } from "./action.ts";
import { fields as f } from "./fields.ts";
import { given } from "./session-reads.ts";

const tool = "pm_session";
const schema = z.strictObject({ sessionUlid: f.sessionUlid, maxBytes: f.maxBytes.optional() });

/** What a session was launched with. */
export const sessionViews: Action[] = [
  action({
    tool,
    action: "prompt",
    scope: "session:read",
    description: "system prompt and first prompt as the agent got them, and their sections",
    example: { action: "prompt", sessionUlid: "PROJ-42/executor-1" },
    schema,
    handle: async (baton, _, args) => ({ data: await baton.sessions.prompt(given(args)) }),
  }),
  action({
    tool,
    action: "config",
    scope: "session:read",
    description: "preset, effective configuration, overrides",
    example: { action: "config", sessionUlid: "PROJ-42/executor-1" },
    schema,
    handle: async (baton, _, args) => ({ data: await baton.sessions.config(given(args)) }),
  }),
  action({
    tool,
    action: "spec",
    scope: "session:read",
    description: "all that a session is bound to: tools, worktree, provider, permissions, limits, lineage",
    example: { action: "spec", sessionUlid: "PROJ-42/executor-1" },
    schema,
    handle: async (baton, _, args) => ({ data: await baton.sessions.spec(given(args)) }),
  }),
];
