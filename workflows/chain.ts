import { CancellationScope, allHandlersFinished, condition, defineQuery, defineSignal, log, patched, setHandler, workflowInfo } from "@temporalio/workflow";
import { queryNames, signalNames } from "../contracts/messages.ts";
import type { ChainArgs, GateView, HostActivities } from "../contracts/messages.ts";
import type { Candidate } from "../contracts/event.ts";
import { recordInput, records, verifierOn } from "./chain-activities.ts";
import { ChainStop, closeMembers, send, sessionOver, startMember, stopIfAsked, turnKey, turnsOf, untilStopped } from "./chain-members.ts";
import type { ChainState, Member } from "./chain-members.ts";
import { show } from "./chain-details.ts";
import { finishedTurn, roundsAfter } from "./chain-questions.ts";
import { askVerdict } from "./chain-roles.ts";
import { allPassed, endByProgress, endByRounds, endByVerdicts, stableCandidate } from "./round-rules.ts";
import type { ChainEnd } from "./round-rules.ts";
import { readTurnEnded } from "./turn-news.ts";

/** Executor, reviewers and auditor for one task, in rounds. Its sessions are its children. Never continues as new: rounds are few. */
export async function chain(args: ChainArgs): Promise<ChainEnd> {
  const state: ChainState = {
    args,
    members: [],
    turns: new Map(),
    maxRounds: args.maxRounds,
    answered: 0,
    asked: 0,
    phase: "starting",
    deciding: true,
    stopped: null,
  };
  handleMessages(state);
  // A cancel stops the body at its next wait; closing the children and the record of the end are out of its reach.
  CancellationScope.current().cancelRequested.catch(() => stop(state, "the chain was cancelled"));
  return CancellationScope.nonCancellable(async () => {
    const end = await decide(state);
    state.deciding = false;
    show(state, `ending: ${end.reason}`);
    await closeMembers(state, end.reason);
    // Without its rows nobody can read of the end: it is the workflow's own result then, not its failure.
    await records
      .finishChain({ chainId: args.chainId, ...end })
      .catch((error: unknown) => log.warn("The chain's end could not be recorded", { chainId: args.chainId, error: String(error) }));
    await condition(allHandlersFinished);
    show(state, `${end.reason}: ${end.why.slice(0, 300)}`);
    return end;
  });
}

function handleMessages(state: ChainState): void {
  setHandler(defineSignal<[unknown]>(signalNames.turnEnded), (body) => {
    const turn = readTurnEnded(body);
    if (turn === null) return log.warn("News of a turn of no known shape was dropped", { chainId: state.args.chainId });
    // The first news of a turn stays; a repeat changes nothing.
    const key = turnKey(turn.sessionUlid, turn.turnId);
    if (!state.turns.has(key)) state.turns.set(key, turn);
  });
  // Only a hint: what was answered is read from the rows.
  setHandler(defineSignal(signalNames.answered), () => {
    state.answered += 1;
  });
  for (const name of [signalNames.abort, signalNames.close]) {
    setHandler(defineSignal<[unknown]>(name), (body) => {
      const reason = (body as { reason?: unknown } | null | undefined)?.reason;
      stop(state, typeof reason === "string" && reason !== "" ? reason.slice(0, 500) : "somebody stopped the chain");
    });
  }
  setHandler(defineQuery(queryNames.state), () => ({
    stopped: state.stopped,
    phase: state.phase,
    maxRounds: state.maxRounds,
    members: state.members,
    turns: [...state.turns.values()],
  }));
}

function stop(state: ChainState, why: string): void {
  state.stopped ??= { reason: "aborted", why };
}

async function decide(state: ChainState): Promise<ChainEnd> {
  try {
    return await rounds(state);
  } catch (error) {
    if (error instanceof ChainStop) return error.end;
    // Whatever became of the effect that it cancelled.
    if (state.stopped !== null) return state.stopped;
    log.error("The chain failed", { error: String(error) });
    const cause = (error as { cause?: unknown }).cause;
    return { reason: "failed", why: (cause instanceof Error ? cause.message : String(error)).slice(0, 500) };
  }
}

async function rounds(state: ChainState): Promise<ChainEnd> {
  const { chainId, executor: executorArgs } = state.args;
  if (executorArgs.inputId === undefined) return { reason: "failed", why: "The executor has no first input" };
  show(state, "round 1: executor");
  await records.startRound({ chainId, round: 1 });
  const executor = await startMember(state, "executor", `${workflowInfo().workflowId}/executor`, executorArgs);
  let candidate = await candidateOf(state, executor, executorArgs.inputId, 1);
  for (let round = 1; ; round += 1) {
    // A round begins with the executor's work, so the first one is started twice: now it has its candidate.
    await records.startRound({ chainId, round, candidate });
    const judged = await judge(state, executor, round, candidate);
    if ("reason" in judged) return judged;
    const end = endByRounds(round, state.maxRounds, judged.failed);
    if (end !== null) {
      state.maxRounds = await roundsAfter(state, round, end, executor);
    }
    candidate = judged.made ?? (await fix(state, executor, round, candidate));
  }
}

/** What did not pass: the gates whose findings go back to the executor. `made`: it has a newer candidate already, which is judged without asking for one. */
interface Refused {
  failed: GateView[];
  made?: Candidate;
}

/** Reviews, gates, audit, gates, last look at the tree. */
async function judge(state: ChainState, executor: Member, round: number, candidate: Candidate): Promise<ChainEnd | Refused> {
  const { chainId, reviewers, auditor } = state.args;
  show(state, `round ${round}: review`);
  // All are waited for: no reviewer may be left at work behind the chain's back when another one fails. The end of one is the end of all.
  const asked = await Promise.allSettled(
    Array.from({ length: reviewers }, (_, i) =>
      askVerdict(state, "reviewer", i + 1, round, candidate).catch((error: unknown) => {
        if (error instanceof ChainStop && patched("chain-stops-together")) state.stopped ??= error.end;
        throw error;
      }),
    ),
  );
  const failed = asked.find((r) => r.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  const refused = endByVerdicts(
    "reviewer",
    asked.flatMap((r) => (r.status === "fulfilled" ? [r.value] : [])),
  );
  if (refused !== null) return refused;
  const reviewGates = await records.evaluateGates({ chainId, round, tree: candidate.tree, stage: "review" });
  if (!allPassed(reviewGates)) return { failed: reviewGates };
  if (auditor) {
    show(state, `round ${round}: audit`);
    const refusedByAuditor = endByVerdicts("auditor", [await askVerdict(state, "auditor", 1, round, candidate)]);
    if (refusedByAuditor !== null) return refusedByAuditor;
  }
  const finalGates = await records.evaluateGates({ chainId, round, tree: candidate.tree, stage: "final" });
  if (!allPassed(finalGates)) return { failed: finalGates };
  const seen = await lastLook(state, executor, round, candidate);
  // A later change voids what was approved: another round on the new tree.
  if (!seen.unchanged) {
    const made = seen.candidate !== undefined && patched("chain-judges-what-was-made") ? { made: seen.candidate } : {};
    const why = seen.busy === true ? "the executor is still at work" : "the tree changed after it was approved";
    return { failed: [{ name: "candidate", passed: false, why }], ...made };
  }
  return { reason: "approved", why: `Round ${round}: ${finalGates.map((g) => g.name).join(", ")} passed` };
}

/** Gives the findings to the same executor session; the candidate of that turn. Error: ChainStop on the refused tree again. */
async function fix(state: ChainState, executor: Member, round: number, before: Candidate): Promise<Candidate> {
  show(state, `round ${round + 1}: executor`);
  const { inputId } = await recordInput(state, {
    sessionUlid: executor.sessionUlid,
    key: `findings/${round}`,
    kind: "findings",
    round,
    candidate: before,
  });
  await send(executor, inputId);
  const candidate = await candidateOf(state, executor, inputId, round + 1);
  const stuck = endByProgress(before, candidate);
  if (stuck !== null) throw new ChainStop(stuck);
  return candidate;
}

async function candidateOf(state: ChainState, executor: Member, inputId: string, round: number): Promise<Candidate> {
  const turn = await finishedTurn(state, executor, inputId, round);
  const candidate = stableCandidate(turn);
  if (candidate === null) throw new ChainStop({ reason: "failed", why: "The executor's turn left no stable tree to review" });
  return candidate;
}

/** The tree when the executor's agent is at nothing any more: people may have written to it during the review. */
async function lastLook(state: ChainState, executor: Member, round: number, candidate: Candidate): Promise<Seen> {
  for (;;) {
    const told = turnsOf(state, executor).length;
    show(state, `round ${round}: last look at the tree`);
    const seen = await look(state, executor, candidate);
    if (seen.busy !== true || !patched("chain-waits-for-its-executor")) return seen;
    show(state, `round ${round}: waits for the executor to end what it is at`);
    const isDone = () => turnsOf(state, executor).length > told;
    const inTime = await condition(() => isDone() || executor.ended !== null || state.stopped !== null, state.args.turnDeadlineSeconds * 1_000);
    stopIfAsked(state);
    if (executor.ended !== null) throw sessionOver(executor);
    // It is asked then, behind what it is at, and with that its turn has a deadline, too.
    if (!inTime) return seen;
  }
}

type Seen = Awaited<ReturnType<HostActivities["verifyCandidate"]>>;

async function look(state: ChainState, executor: Member, candidate: Candidate): Promise<Seen> {
  // The host may be away: a stop does not wait for it.
  const seen = await untilStopped(state, () => verifierOn(state.args.hostQueue).verifyCandidate({ sessionUlid: executor.sessionUlid, tree: candidate.tree }));
  stopIfAsked(state);
  return seen;
}
