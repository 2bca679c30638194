import { z } from "zod";
import type { InputAnswer, RunArgs } from "../../client/input.ts";
import { action, type Action } from "./action.ts";
import { fields as f } from "./fields.ts";
import { askForTurn, waitForTurn } from "./next-calls.ts";
import { given } from "./session-reads.ts";

const tool = "pm_session";
const key = { clientRequestId: f.clientRequestId.optional(), actor: f.actor.optional() };

/** What answers a permission, if one is in the way, goes first. */
const thenWait = ({ data, next }: InputAnswer): InputAnswer => ({ data, next: [...next, ...waitForTurn(data)] });

const more = z.number().int().min(1).max(1_000_000_000_000).optional();

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
      approvalId: z.string().optional().describe("The question or plan that the prompt answers"),
    }),
    handle: async (baton, caller, args) => thenWait(await baton.sessions.input(caller, given(args))),
  }),
  action({
    tool,
    action: "run",
    scope: "session:control",
    description: "ask for a turn now",
    example: { action: "run", sessionUlid: "PROJ-42/executor-1" },
    schema: z.strictObject({
      sessionUlid: f.sessionUlid,
      prompt: f.prompt.optional(),
      configuration: z
        .strictObject({
          model: z.string().min(1).max(200).optional(),
          mode: z.enum(["deny-all", "approve-reads", "ask", "approve-all"]).optional(),
          maxRuntimeSeconds: z.number().int().min(1).max(86_400).optional(),
        })
        .optional()
        .describe("For this turn: model, mode (permissions, narrower only), maxRuntimeSeconds"),
      ...key,
    }),
    handle: async (baton, caller, args) => thenWait(await baton.sessions.run(caller, given(args) as RunArgs)),
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
      cascade: z.boolean().optional().describe("Also its children, deepest first"),
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
    action: "restart",
    scope: "session:control",
    description: "let a closed session go on: same workspace and conversation, next generation",
    example: { action: "restart", clientRequestId: "my-key-3", actor: "@me", sessionUlid: "PROJ-42/executor-1" },
    schema: z.strictObject({
      clientRequestId: f.clientRequestId,
      actor: f.actor,
      sessionUlid: f.sessionUlid.optional(),
      providerSessionId: z.string().min(1).max(1_000).optional().describe("The agent's own thread; must agree with sessionUlid"),
      prompt: f.prompt.optional(),
      run: z.boolean().optional().describe("false: no turn until run or input"),
    }),
    handle: async (baton, caller, args) => {
      const data = await baton.sessions.restart(caller, given(args));
      const waits = data["purgedAt"] !== undefined || args.run !== false;
      return { data, next: waits ? waitForTurn(data) : [askForTurn(data["sessionUlid"])] };
    },
  }),
  action({
    tool,
    action: "purge",
    scope: "session:purge",
    description: "delete a session: records, worktree, branch; dryRun says what",
    example: { action: "purge", sessionUlid: "PROJ-42/executor-1", dryRun: true },
    schema: z.strictObject({
      sessionUlid: f.sessionUlid,
      deleteFiles: z.boolean().optional().describe("false: only the records, kept as a file"),
      dryRun: z.boolean().optional().describe("Only say what would happen"),
      force: z.boolean().optional().describe("Also what is not merged"),
      ...key,
    }),
    handle: async (baton, caller, args) => ({ data: await baton.sessions.purge(caller, given(args)) }),
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
      add: z
        .strictObject({ rounds: more, wallSeconds: more, idleSeconds: more, turns: more, tokens: more, costMicros: more })
        .optional()
        .describe("With allow, to a reached limit: how much more, {wallSeconds, turns, tokens, costMicros, rounds}"),
      ...key,
      reason: f.reason.optional(),
    }),
    handle: async (baton, caller, args) => ({ data: await baton.sessions.respond(caller, given(args)) }),
  }),
];
