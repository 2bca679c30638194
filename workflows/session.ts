import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  allHandlersFinished,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  patched,
  workflowInfo,
} from "@temporalio/workflow";
import type { ExternalWorkflowHandle } from "@temporalio/workflow";
import { failureTypes } from "../contracts/failures.ts";
import { generationId } from "../contracts/generation-id.ts";
import { signalNames } from "../contracts/messages.ts";
import type { SessionArgs, TurnEnd, TurnEnded } from "../contracts/messages.ts";
import { dequeue, removeFrom } from "./input-queue.ts";
import { small } from "./message-size.ts";
import { engine, workspaceOn } from "./session-activities.ts";
import { close, handleMessages } from "./session-messages.ts";
import { shortNews } from "./turn-news.ts";
import { openState, show } from "./session-state.ts";
import type { SessionState } from "./session-state.ts";
import { runTurn } from "./session-turn.ts";
import type { TurnEnding } from "./session-turn.ts";

/** Events after which a run hands over to the next; replays stay short. */
const historyLimit = 2_000;

/** Between two looks whether an idle session may close. */
const longestIdleWaitMs = 3_600_000;

export interface SessionEnd {
  state: "closed" | "failed" | "gone";
  reason: string;
  turns: number;
}

/** One generation of a session: takes inputs one by one, each opens a turn on the session's host. Ends on `close`, on a cancel, or when it has no workspace. */
export async function session(args: SessionArgs): Promise<SessionEnd> {
  const state = openState(args);
  handleMessages(state, (inputIds) => dropInputs(state, inputIds));
  // A cancel of the workflow means close: all else runs where it cannot reach, so that the end is recorded.
  CancellationScope.current().cancelRequested.catch(() => close(state, "cancelled"));
  return CancellationScope.nonCancellable(() => live(state));
}

async function live(state: SessionState): Promise<SessionEnd> {
  for (;;) {
    if (!isWoken(state)) {
      show(state, state.turns === 0 ? "starting" : "idle");
      // Awaited here: one more promise in between, and the histories of older sessions replay in another order.
      if (state.args.idleCloseMs === undefined) await condition(() => isWoken(state));
      else await closeWhenIdle(state, state.args.idleCloseMs);
    }
    if (state.closing !== null) return end(state, "closed", state.closing);
    const failure = state.workspaceReady || state.args.workspaceIn === "turn" ? null : await prepareWorkspace(state);
    if (failure !== null) return failure;
    // An abort or a close may have come while the workspace was made.
    const turnId = state.closing === null ? dequeue(state.queue) : undefined;
    if (turnId === undefined) continue;
    const ending = await runTurn(state, turnId);
    if (ending.kind === "gone") return { state: "gone", reason: "the session's rows are gone", turns: state.turns };
    if (ending.kind === "workspace_failed") return workspaceFailed(state, [turnId], ending.why);
    await settle(state, turnId, ending);
    // Settled as aborted; only a close leaves the input for later.
    if (state.closing === null) state.aborted.splice(0);
    await rollOver(state);
  }
}

const isWoken = (state: SessionState): boolean => state.queue.waiting.length > 0 || state.closing !== null;

/** Until there is something to do. When nothing has come for so long, and nobody is asked either, that is the session's end. */
async function closeWhenIdle(state: SessionState, idleCloseMs: number): Promise<void> {
  const { sessionUlid, generation } = state.args;
  const waitMs = state.idleWaitMs ?? idleCloseMs;
  state.idleWaitMs = null;
  if (await condition(() => isWoken(state), waitMs)) return;
  const reason = `idle for ${Math.round(idleCloseMs / 1_000)} s`;
  if (await engine.closeIfIdle({ sessionUlid, generation, reason })) return close(state, reason);
  if (!patched("idle-looks-less-often")) return;
  await rollOver(state);
  // Somebody may be asked for days, and each look costs a dozen events.
  if (!isWoken(state)) state.idleWaitMs = Math.min(waitMs * 2, Math.max(idleCloseMs, longestIdleWaitMs));
}

/** For sessions that began when the workspace was not yet made in the first turn. */
async function prepareWorkspace(state: SessionState): Promise<SessionEnd | null> {
  const scope = new CancellationScope({ cancellable: true });
  const { sessionUlid, hostQueue, beatTimeoutMs } = state.args;
  show(state, "starting");
  // The host may be away for days; a close must not wait for it.
  const watch = condition(() => state.closing !== null).then(() => scope.cancel());
  void watch;
  try {
    await scope.run(() => workspaceOn(hostQueue, beatTimeoutMs).prepareWorkspace({ sessionUlid }));
    state.workspaceReady = true;
    return null;
  } catch (error) {
    if (isCancellation(error)) return null;
    const cause = error instanceof ActivityFailure ? error.cause : error;
    if (cause instanceof ApplicationFailure && cause.type === failureTypes.sessionGone)
      return { state: "gone", reason: "the session's rows are gone", turns: state.turns };
    return workspaceFailed(state, [], cause instanceof Error ? cause.message : null);
  }
}

/** `inputIds`: what no longer waits and fails too. */
async function workspaceFailed(state: SessionState, inputIds: string[], why: string | null): Promise<SessionEnd> {
  await dropInputs(state, [...inputIds, ...removeFrom(state.queue, state.queue.waiting)], "workspace_failed");
  return end(state, "failed", why === null ? "workspace_failed" : `workspace_failed: ${why.slice(0, 500)}`);
}

async function settle(state: SessionState, turnId: string, ending: Exclude<TurnEnding, { kind: "gone" | "workspace_failed" }>): Promise<void> {
  const { sessionUlid } = state.args;
  if (ending.kind === "result") {
    // A steer that reached the agent in this turn opens none of its own.
    removeFrom(state.queue, ending.result.consumedInputIds);
    return tellEnd(state, ending.result);
  }
  state.lastOutcome = ending.kind === "cancelled" ? "interrupted" : "failed";
  if (ending.kind === "exhausted") {
    await engine.failInputs({ sessionUlid, inputIds: [turnId], reason: "attempts_exhausted" });
    return tellChain(state, { sessionUlid, turnId, outcome: "failed", failure: { class: "attempts_exhausted", message: ending.why, retryable: true } });
  }
  // No keeper has the turn. A close leaves its input recorded, for a next generation.
  const ended = state.closing === null ? await engine.failInputs({ sessionUlid, inputIds: [turnId], reason: "aborted" }) : undefined;
  // Its host may have died between its result and the word of it: a result beats the cancel.
  await tellEnd(state, ended?.find((turn) => turn.turnId === turnId) ?? { turnId, outcome: "interrupted" });
}

function tellEnd(state: SessionState, { turnId, outcome, candidate, failure }: TurnEnd): Promise<void> {
  const { sessionUlid } = state.args;
  state.lastOutcome = outcome;
  return tellChain(state, { sessionUlid, turnId, outcome, ...(candidate && { candidate }), ...(failure && { failure }), ...goesOn(state, outcome) });
}

/** What an interrupted turn was interrupted for, or what waits behind it. */
function goesOn(state: SessionState, outcome: TurnEnded["outcome"]): Pick<TurnEnded, "next"> {
  const next = state.queue.waiting[0];
  return outcome === "interrupted" && state.closing === null && next !== undefined ? { next } : {};
}

async function dropInputs(state: SessionState, inputIds: string[], reason = "aborted"): Promise<void> {
  if (inputIds.length === 0) return;
  const { sessionUlid } = state.args;
  await engine
    .failInputs({ sessionUlid, inputIds, reason })
    .catch((error: unknown) => log.warn("Inputs could not be failed", { sessionUlid, error: String(error) }));
  for (const turnId of inputIds) await tellChain(state, { sessionUlid, turnId, outcome: reason === "aborted" ? "interrupted" : "failed" });
}

async function tellChain(state: SessionState, ended: TurnEnded): Promise<void> {
  const { chainWorkflowId } = state.args;
  if (chainWorkflowId === undefined) return;
  // A chain that is over needs no news.
  await getExternalWorkflowHandle(chainWorkflowId)
    .signal(signalNames.turnEnded, small(shortNews(ended)))
    .catch((error: unknown) => log.info("The chain did not take the end of a turn", { error: String(error) }));
}

async function rollOver(state: SessionState): Promise<void> {
  const due = () => state.closing === null && (workflowInfo().historyLength > historyLimit || workflowInfo().continueAsNewSuggested);
  if (!due()) return;
  // A handler that still records an input would lose it.
  await condition(allHandlersFinished);
  if (!due()) return;
  const { inputId: _first, ...args } = state.args;
  await continueAsNew<typeof session>(
    small({ ...args, carried: { queue: state.queue.waiting, seen: state.queue.seen, workspaceReady: state.workspaceReady, turns: state.turns } }),
  );
}

async function end(state: SessionState, to: "closed" | "failed", reason: string): Promise<SessionEnd> {
  show(state, "closing");
  await condition(allHandlersFinished);
  const { sessionUlid, generation } = state.args;
  const { covered } = state;
  // With the input of a turn that the close cancelled before a host had it: it was there, too.
  await engine.endSession({ sessionUlid, generation, state: to, reason, waiting: [...covered] });
  // A Signal that came meanwhile may have a handler of its own.
  await condition(allHandlersFinished);
  // What came meanwhile is meant for the next generation, too, which a late input may have woken. Usually nothing has.
  const next = getExternalWorkflowHandle(generationId(workflowInfo().workflowId, generation + 1));
  for (let told = covered; state.covered !== told || state.aborted.length > 0;) {
    await endAborted(state, next);
    if (state.covered === told) continue;
    told = state.covered;
    // Not for what came after this close.
    await next.signal(signalNames.close, { reason, covers: [...told] }).catch(() => undefined);
  }
  show(state, to);
  return { state: to, reason, turns: state.turns };
}

/** Ends the inputs that an abort named and that the close left to the next generation: in the rows first, so that only one that has them already must be told. */
async function endAborted(state: SessionState, next: ExternalWorkflowHandle): Promise<void> {
  const inputIds = state.aborted.splice(0);
  if (inputIds.length === 0 || !patched("abort-while-closing")) return;
  await engine.failInputs({ sessionUlid: state.args.sessionUlid, inputIds, reason: "aborted" });
  for (const turnId of inputIds) await next.signal(signalNames.abort, { turnId, drop: [] }).catch(() => undefined);
}
