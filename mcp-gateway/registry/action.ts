import type { z } from "zod";
import type { Baton, Caller } from "../../client/open-baton.ts";
import type { Scope } from "../../contracts/scopes.ts";

export interface Next {
  tool: string;
  args: Record<string, unknown>;
  why: string;
}
/** What a handler gives to the envelope. */
export interface Answer {
  data: Record<string, unknown>;
  page?: { nextCursor: string };
  warnings?: string[];
  next?: Next[];
}

/** One action of one tool: the single source of its schema, scope, help, and behaviour. */
export interface Action {
  tool: string;
  action: string;
  description: string;
  example: Record<string, unknown>;
  /** what a token must allow */
  scope: Scope;
  schema: z.ZodObject;
  handle(baton: Baton, caller: Caller, args: unknown, signal?: AbortSignal): Promise<Answer>;
}

/** An action whose handler gets its own schema's type. */
export function action<S extends z.ZodObject>(
  a: Omit<Action, "schema" | "handle"> & { schema: S; handle(baton: Baton, caller: Caller, args: z.output<S>, signal?: AbortSignal): Promise<Answer> },
): Action {
  return a as unknown as Action;
}
