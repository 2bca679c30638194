import { ulid } from "ulid";
import { z } from "zod";
import { action, type Action } from "./action.ts";
import { given } from "./session-reads.ts";

/** The tools without actions: one entry each, of the tool's own name. */
export const plain: Action[] = [
  action({
    tool: "pm_health",
    action: "pm_health",
    scope: "session:read",
    description: "What of Baton is up: gateway, Postgres, Temporal, hosts and their agents; versions, and how much waits.",
    example: {},
    schema: z.strictObject({ detail: z.boolean().optional().describe("The processes too") }),
    handle: async (baton, _, args) => ({ data: { gateway: { status: "ok", pid: process.pid, node: process.version }, ...(await baton.health(given(args))) } }),
  }),
  action({
    tool: "pm_generate_ulid",
    action: "pm_generate_ulid",
    scope: "session:read",
    description: "Fresh ULIDs, for clientRequestId.",
    example: { count: 3 },
    schema: z.strictObject({ count: z.number().int().min(1).max(100).optional().describe("How many (1)") }),
    handle: (_, __, args) => {
      const ulids = Array.from({ length: args.count ?? 1 }, () => ulid());
      return Promise.resolve({ data: { ulid: ulids[0], ulids } });
    },
  }),
];
