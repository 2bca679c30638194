import { setTimeout as sleep } from "node:timers/promises";
import type { ApprovalDecision, TurnEnd } from "../contracts/provider.ts";
import { AttemptLost, Fenced, type HostDeps } from "./deps.ts";
import { type HeldTurn, interrupted } from "./held-turn.ts";
import { closeRunner, type Obtained } from "./obtain-runner.ts";
import { pause, resume } from "./pause.ts";
import type { SpoolTail, TailRecord } from "./spool-tail.ts";
import { type LimitWatch, watchLimits } from "./watch-limits.ts";
import { seeWork } from "./work.ts";

const pollMs = 250;
type EndRecord = Extract<TailRecord, { kind: "mark"; mark: "turn.ended" }>;

/** Is this the record that ends the turn? It is committed with the result, never before. */
export const isEndOf = (record: TailRecord, turnId: string): record is EndRecord =>
  record.kind === "mark" && record.mark === "turn.ended" && record.turnId === turnId;

/** Tails the spool until the turn's end; passes on an abort, a reached limit and answers. Throws AttemptLost when the runner goes away. */
export async function followTurn(deps: HostDeps, held: HeldTurn, runner: Obtained, tail: SpoolTail): Promise<TurnEnd> {
  const { turnId } = held.turn;
  const ending = Promise.withResolvers<void>();
  let gone = false;
  let limits: LimitWatch | null = null;
  let wake = Promise.withResolvers<void>();
  runner.connection.onNotice((notice) => {
    if (notice === null) gone = true;
    else limits?.alive();
    wake.resolve();
  });
  const stop = () =>
    void interrupt(deps, held, runner, ending.promise).catch((error: unknown) => deps.log.warn({ turnId, error: String(error) }, "interrupt failed"));
  if (held.abort.signal.aborted || held.limitReached) stop();
  else held.abort.signal.addEventListener("abort", stop, { once: true });
  try {
    limits = await watchLimits(deps, held, stop);
    await answerAgain(deps, held, runner);
    for (;;) {
      const wasGone = gone;
      const { records, stopped } = await tail.advance((record) => isEndOf(record, turnId));
      if (records.length > 0) limits.heard(records);
      for (const record of records) {
        seeWork(held.work, record);
        await notice(deps, held, runner, record);
      }
      if (stopped && isEndOf(stopped, turnId)) return stopped.end;
      if (held.drop.signal.aborted) throw new Fenced("dropped");
      if (records.length > 0) continue;
      if (wasGone) {
        if (held.abort.signal.aborted || held.limitReached) return interrupted();
        throw new AttemptLost("the runner is gone", true);
      }
      const poll = setTimeout(wake.resolve, pollMs);
      await wake.promise;
      clearTimeout(poll);
      wake = Promise.withResolvers<void>();
    }
  } finally {
    held.abort.signal.removeEventListener("abort", stop);
    ending.resolve();
    limits?.end();
  }
}

/** Protocol interrupt first; an agent that does not end its turn gets the runner's stop ladder. */
async function interrupt(deps: HostDeps, held: HeldTurn, runner: Obtained, ending: Promise<void>): Promise<void> {
  await runner.connection.request({ cmd: "interrupt", turnId: held.turn.turnId });
  const ended = await Promise.race([ending.then(() => true), sleep(deps.config.stopGraceMs).then(() => false)]);
  if (!ended) await closeRunner(deps, runner, held.abort.signal.aborted ? "abort" : "limit", held.drop.signal);
}

async function notice(deps: HostDeps, held: HeldTurn, runner: Obtained, record: TailRecord): Promise<void> {
  if (record.kind !== "event" || record.event.type !== "approval.requested") return;
  const { approvalId, requestKey } = record.event.data as { approvalId: string; requestKey: string };
  // An answer that never reached the killed agent serves the identical request of the same turn, once. One that has reached it may only not be noted yet.
  const waiting = (await deps.store.approvals.undelivered(held.turn.sessionUlid)).filter((row) => !held.answered.has(row.approvalId));
  const same = waiting.find((row) => row.requestKey === requestKey && row.turnId === held.turn.turnId && row.approvalId !== approvalId);
  if (same?.decision) {
    await deps.store.approvals.answerAgain(approvalId, same);
    await answer(deps, held, approvalId, same.decision as ApprovalDecision, runner);
    await deps.store.approvals.delivered(same.approvalId);
    return;
  }
  pause(deps, held, approvalId);
}

/** Answers given while no worker was there. */
async function answerAgain(deps: HostDeps, held: HeldTurn, runner: Obtained): Promise<void> {
  for (const row of await deps.store.approvals.undelivered(held.turn.sessionUlid)) {
    if (row.turnId === held.turn.turnId && row.decision) await answer(deps, held, row.approvalId, row.decision as ApprovalDecision, runner);
  }
}

/** Gives an answer to the agent; true when the runner had such a request open. */
export async function answer(deps: HostDeps, held: HeldTurn, approvalId: string, decision: ApprovalDecision, runner?: Obtained): Promise<boolean> {
  const connection = runner?.connection ?? held.connection;
  if (!connection) return false;
  if (held.waiting.has(approvalId)) await resume(deps, held, approvalId, held.drop.signal);
  held.answered.add(approvalId);
  let applied = false;
  try {
    const reply = await connection.request({ cmd: "respond", approvalId, decision });
    applied = reply.ok && reply.applied !== false;
  } finally {
    if (!applied) held.answered.delete(approvalId);
  }
  if (applied) await deps.store.approvals.delivered(approvalId);
  return applied;
}
