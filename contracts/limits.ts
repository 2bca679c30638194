import type { Limits } from "./preset.ts";

/** What a session has used of what limits count over all its turns. */
export interface Used {
  wallSeconds: number;
  turns: number;
  tokens: number;
  costMicros: number;
}
export type LimitName = keyof Limits;
/** A limit that was reached. `turnOnly`: it was one turn's alone (`run` with a configuration), nobody is asked. */
export interface ReachedLimit {
  limit: LimitName;
  used: number;
  allowed: number;
  turnOnly?: true;
}

const words: Record<LimitName, string> = {
  wallSeconds: "seconds of the agent's time",
  idleSeconds: "seconds without a sign of the agent",
  turns: "turns",
  tokens: "tokens",
  costMicros: "millionths of a dollar",
};

/** The first limit that has been used up; null: there is more. */
export function reachedLimit(limits: Limits, used: Used): ReachedLimit | null {
  for (const limit of ["wallSeconds", "turns", "tokens", "costMicros"] as const) {
    const allowed = limits[limit];
    if (allowed !== undefined && used[limit] >= allowed) return { limit, used: Math.floor(used[limit]), allowed };
  }
  return null;
}

/** What people are asked when a limit was reached. */
export const budgetTitle = ({ limit, used, allowed }: ReachedLimit): string =>
  `The limit ${limit} was reached: ${used} of ${allowed} ${words[limit]}. May it go on?`;

/** As much again: what is offered to whoever is asked. */
export const proposedRaise = ({ limit, allowed }: ReachedLimit): Limits => ({ [limit]: allowed });
