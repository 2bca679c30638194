import { noUsage } from "../contracts/event.ts";
import type { ReachedLimit } from "../contracts/limits.ts";
import type { TurnEnd } from "../contracts/provider.ts";
import type { RunnerConnection } from "../contracts/runner-protocol.ts";
import type { HeadRow, InputRow, SessionRow, TurnRow } from "../store/rows.ts";
import { Fenced } from "./deps.ts";
import type { Work } from "./work.ts";

/** A turn that this keeper owns, from its claim to its report. */
export interface HeldTurn {
  readonly turn: TurnRow;
  /** read again when its first turn has made its workspace */
  session: SessionRow;
  readonly input: InputRow;
  readonly head: HeadRow;
  /** taken over from a dead worker, not handed out by Temporal just now */
  readonly adopted: boolean;
  /** a user's abort, and nothing else */
  readonly abort: AbortController;
  /** fenced, superseded or shutting down: let go, kill nothing */
  readonly drop: AbortController;
  /** the limit for which the turn is being interrupted */
  limitReached: ReachedLimit | null;
  /** the agent's own time, without what it waited for people */
  agentMs: number;
  /** approvals and waits for its own sessions that the agent waits for: no slot, no wall clock (host/pause.ts) */
  readonly waiting: Set<string>;
  /** approvals whose answer the agent has or is being told: it does not wait for them, however late their question is seen */
  readonly answered: Set<string>;
  /** what the agent is seen to do while it says that it waits */
  readonly work: Work;
  hasSlot: boolean;
  takingSlot: Promise<void> | null;
  slotOver: boolean;
  connection: RunnerConnection | null;
  /** monotonic ms when Temporal first said that the token is unknown */
  tokenGoneSince: number | null;
  /** monotonic ms when the workflow was first seen gone, too */
  workflowGoneSince: number | null;
  /** settles when the turn is reported, fenced or dropped */
  ended: Promise<void>;
}

/** The end of a turn that a user aborted before its agent could say so itself. */
export const interrupted = (): TurnEnd => ({ outcome: "interrupted", usage: noUsage, finalMessage: "" });

/** What `work` comes to, or Fenced at once when the turn is dropped: what takes long is not to hold up who drops it. */
export async function unlessDropped<T>(drop: AbortSignal, where: string, work: Promise<T>): Promise<T> {
  const dropped = Promise.withResolvers<never>();
  const letGo = (): void => dropped.reject(new Fenced(where));
  if (drop.aborted) letGo();
  else drop.addEventListener("abort", letGo, { once: true });
  return Promise.race([work, dropped.promise]).finally(() => drop.removeEventListener("abort", letGo));
}
