import { SearchAttributeType, defineSearchAttributeKey } from "@temporalio/common";
import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from "@temporalio/workflow";
import type { CancellationScope } from "@temporalio/workflow";
import type { SessionArgs } from "../contracts/messages.ts";
import { enqueue, openQueue } from "./input-queue.ts";
import type { InputQueue } from "./input-queue.ts";

/** What a session workflow knows; rows, not this, are what people read. */
export interface SessionState {
  readonly args: SessionArgs;
  readonly queue: InputQueue;
  /** the open turn; its scope is what an abort cancels */
  current: { turnId: string; attempt: number; scope: CancellationScope } | null;
  /** why the session ends; set once */
  closing: string | null;
  workspaceReady: boolean;
  turns: number;
  lastOutcome: string | null;
  /** the inputs that were there when a close was last asked for, a new list each time; one that came later wakes the session again */
  covered: readonly string[];
  /** inputs that an abort named, while the session was closing or just before: a close leaves them recorded, and no next generation may run them */
  aborted: string[];
  /** how long it waits idle before it asks again whether it may close; null: as its arguments say */
  idleWaitMs: number | null;
}

/** The state at the start of a run: from arguments, or from what the run before carried over. */
export function openState(args: SessionArgs): SessionState {
  const state: SessionState = {
    args,
    queue: openQueue(args.carried),
    current: null,
    closing: null,
    workspaceReady: args.carried?.workspaceReady ?? false,
    turns: args.carried?.turns ?? 0,
    lastOutcome: null,
    covered: [],
    aborted: [],
    idleWaitMs: null,
  };
  if (args.inputId !== undefined) enqueue(state.queue, args.inputId, "queue");
  return state;
}

export type ShownState = "starting" | "running" | "idle" | "closing" | "closed" | "failed";

const stateKey = defineSearchAttributeKey("BatonState", SearchAttributeType.KEYWORD);

/** Shows where the session is in Temporal's UI. The details cost no event, the attribute one: it is written only when it changes. */
export function show(state: SessionState, shown: ShownState): void {
  if (workflowInfo().typedSearchAttributes.get(stateKey) !== shown) upsertSearchAttributes([{ key: stateKey, value: shown }]);
  setCurrentDetails(details(state, shown));
}

function details(state: SessionState, shown: ShownState): string {
  const turn = state.current === null ? "none" : `\`${state.current.turnId}\`${state.current.attempt > 1 ? `, attempt ${state.current.attempt}` : ""}`;
  return [
    `**${shown}** · session \`${state.args.sessionUlid}\` generation ${state.args.generation} on \`${state.args.hostQueue}\``,
    `- open turn: ${turn}`,
    `- turns: ${state.turns}${state.lastOutcome === null ? "" : ` (last: ${state.lastOutcome})`}`,
    `- waiting inputs: ${state.queue.waiting.length}`,
    ...(state.closing === null ? [] : [`- closing: ${state.closing.slice(0, 200)}`]),
  ].join("\n");
}
