import { CancellationScope, isCancellation, sleep } from "@temporalio/workflow";
import type { TurnResult } from "../contracts/messages.ts";
import { attemptPause, readAttemptError } from "./attempt-outcome.ts";
import { turnOn } from "./session-activities.ts";
import { show } from "./session-state.ts";
import type { SessionState } from "./session-state.ts";

/** How a turn ended for the workflow. Without a `result` no row says so yet. */
export type TurnEnding =
  | { kind: "result"; result: TurnResult }
  | { kind: "cancelled" }
  | { kind: "exhausted"; why: string }
  | { kind: "workspace_failed"; why: string }
  | { kind: "gone" };

/** Runs one turn: attempts until one brings a result, the turn is cancelled, or too many had to start the agent again. */
export async function runTurn(state: SessionState, turnId: string): Promise<TurnEnding> {
  const scope = new CancellationScope({ cancellable: true });
  state.current = { turnId, attempt: 0, scope };
  state.turns += 1;
  try {
    return await scope.run(() => attempts(state, state.current!));
  } catch (error) {
    // The pause between two attempts was cancelled.
    if (isCancellation(error)) return { kind: "cancelled" };
    throw error;
  } finally {
    state.current = null;
  }
}

async function attempts(state: SessionState, current: { turnId: string; attempt: number }): Promise<TurnEnding> {
  const { sessionUlid, generation, hostQueue, beatTimeoutMs, turnAttempts } = state.args;
  const { turnId } = current;
  let counted = 0;
  for (let attempt = 1; ; attempt += 1) {
    current.attempt = attempt;
    show(state, "running");
    const host = turnOn(hostQueue, beatTimeoutMs, `turn ${state.turns}${attempt > 1 ? `, attempt ${attempt}` : ""}`);
    try {
      return { kind: "result", result: await host.runTurn({ sessionUlid, generation, turnId, inputId: turnId, attempt }) };
    } catch (error) {
      const loss = readAttemptError(error);
      if (loss.kind !== "lost") return loss;
      if (loss.counts) counted += 1;
      if (counted >= turnAttempts) return { kind: "exhausted", why: `${counted} attempts were lost; the last one: ${loss.why.slice(0, 500)}` };
      const seconds = attemptPause(attempt, loss.wait);
      if (seconds > 0) await sleep(seconds * 1_000, { summary: "before the next attempt" });
    }
  }
}
