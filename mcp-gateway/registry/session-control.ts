import { z } from "zod";
import { action, type Action } from "./action.ts";
import { fields as f } from "./fields.ts";
import { given } from "./session-reads.ts";

const tool = "pm_session";
const key = { clientRequestId: f.clientRequestId.optional(), actor: f.actor.optional() };

/** What is done to a session that is there. */
export const sessionControls: Action[] = [
  action({
    tool,
    action: "input",
    scope: "session:control",
    description: "send a message: after the turn (queue), or ending it (interrupt); wakes idle and closed sessions",
    example: { action: "input", sessionUlid: "PROJ-42/executor-1", prompt: "Also run the tests." },
    schema: z.strictObject({
      sessionUlid: f.sessionUlid,
      prompt: f.prompt,
      ...key,
      delivery: z
        .enum(["queue", "steer", "interrupt"])
        .optional()
        .describe("queue (default): after the turn; interrupt: end the turn first; steer: into the turn, where the agent can"),
    }),
    handle: (baton, caller, args) => baton.sessions.input(caller, given(args)),
  }),
  action({
    tool,
    action: "run",
    scope: "session:control",
    description: "ask for a turn now",
    example: { action: "run", sessionUlid: "PROJ-42/executor-1" },
    schema: z.strictObject({ sessionUlid: f.sessionUlid, prompt: f.prompt.optional(), ...key }),
    handle: (baton, caller, args) => baton.sessions.run(caller, given(args)),
  }),
  action({
    tool,
    action: "abort",
    scope: "session:control",
    description: "interrupt the running turn; the session stays usable",
    example: { action: "abort", sessionUlid: "PROJ-42/executor-1" },
    schema: z.strictObject({
      sessionUlid: f.sessionUlid,
      ...key,
      reason: f.reason.optional(),
      dropQueue: z.boolean().optional().describe("What becomes of the inputs that wait: false keeps them, else they fail as aborted"),
    }),
    handle: async (baton, caller, args) => ({ data: await baton.sessions.abort(caller, given(args)) }),
  }),
  action({
    tool,
    action: "close",
    scope: "session:control",
    description: "end the session; workspace and branch stay",
    example: { action: "close", sessionUlid: "PROJ-42/executor-1" },
    schema: z.strictObject({ sessionUlid: f.sessionUlid, ...key, reason: f.reason.optional() }),
    handle: async (baton, caller, args) => ({ data: await baton.sessions.close(caller, given(args)) }),
  }),
  action({
    tool,
    action: "respond",
    scope: "session:control",
    description: "answer an approval: allow, allow_always, deny, deny_stop, or an option's id",
    example: { action: "respond", approvalId: "01J…", decision: "allow" },
    schema: z.strictObject({
      approvalId: z.string().describe("From approvals or attention"),
      decision: z.string().optional().describe("allow, allow_always, deny, deny_stop; of a question: an option's id or text"),
      answers: z.record(z.string(), z.string()).optional().describe("Answer by question id"),
      ...key,
      reason: f.reason.optional(),
    }),
    handle: async (baton, caller, args) => ({ data: await baton.sessions.respond(caller, given(args)) }),
  }),
];
