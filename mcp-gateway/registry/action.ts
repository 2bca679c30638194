import type { z } from "zod";
import type { Baton, Caller } from "../../client/open-baton.ts";

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

/** What a token must allow. `session:read` changes nothing; `operator` is what decides over the installation. */
export type Scope = "session:read" | "session:control" | "session:launch" | "session:purge" | "operator";

/** One action of one tool: the single source of its schema, scope, help, and behaviour. */
export interface Action {
  tool: string;
  action: string;
  description: string;
  example: Record<string, unknown>;
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
