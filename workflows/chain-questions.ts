import { condition, patched } from "@temporalio/workflow";
import type { ChainAnswer, ChainQuestion, TurnEnded } from "../contracts/messages.ts";
import { records } from "./chain-activities.ts";
import { show } from "./chain-details.ts";
import { ChainStop, send, sessionOver, stopIfAsked, turnWhere, turnsOf } from "./chain-members.ts";
import type { ChainState, Member } from "./chain-members.ts";
import { endByDeadline, endByTurn } from "./round-rules.ts";
import type { ChainEnd } from "./round-rules.ts";

type IsTurn = (turn: TurnEnded) => boolean;
const turnOf =
  (inputId: string): IsTurn =>
  (turn) =>
    turn.turnId === inputId;

/**
 * The turn that the input opens, or the one that took its place: an interrupting input's, or what people asked for when a turn was stopped,
 * reached a limit or did not end in time. People are asked before such a turn ends the chain. Error: ChainStop.
 */
export async function finishedTurn(state: ChainState, member: Member, inputId: string, round: number): Promise<TurnEnded> {
  let isWanted = turnOf(inputId);
  for (let n = 1; ; n += 1) {
    const turn = await turnWhere(state, member, isWanted);
    const end = turn === null ? endByDeadline(member.role, state.args.turnDeadlineSeconds) : endByTurn(member.role, turn);
    if (turn !== null && end === null) return turn;
    if (end === null || !isAsked(turn)) throw new ChainStop(end!);
    if (turn?.next !== undefined) {
      isWanted = turnOf(turn.next);
      continue;
    }
    const turnId = turn?.turnId ?? inputId;
    const question = { kind: "gate", key: `turn/${member.sessionUlid}/${turnId}/${n}`, end, turn: { sessionUlid: member.sessionUlid, turnId } } as const;
    const isNew = notAmong(turnsOf(state, member));
    // Somebody gave the session something else to do, and it is done: that is an answer, too.
    const overtakes = anyOf(turn === null ? isWanted : null, (one) => isNew(one) && one.outcome === "completed");
    const heard = await answerTo(state, question, member, overtakes);
    if ("outcome" in heard) isWanted = turnOf(heard.turnId);
    else if (heard.decision === "deny") throw new ChainStop({ ...end, why: `${end.why}; ${heard.by} ended the chain` });
    else if (turn !== null) isWanted = heard.budget ? isNew : turnOf(await askAgain(state, member, { inputId, turnId, round }));
  }
}

/** A failed turn and one of unknown outcome are no one's to wave through. */
function isAsked(turn: TurnEnded | null): boolean {
  return (turn === null || turn.outcome === "interrupted" || turn.outcome === "limit") && patched("chain-asks");
}

const notAmong =
  (known: readonly TurnEnded[]): IsTurn =>
  (turn) =>
    !known.includes(turn);
const anyOf =
  (...rules: (IsTurn | null)[]): IsTurn =>
  (turn) =>
    rules.some((rule) => rule?.(turn));

async function askAgain(state: ChainState, member: Member, a: { inputId: string; turnId: string; round: number }): Promise<string> {
  const { chainId } = state.args;
  const { sessionUlid } = member;
  const { inputId } = await records.recordChainInput({
    chainId,
    sessionUlid,
    key: `again/${sessionUlid}/${a.turnId}`,
    kind: "again",
    round: a.round,
    of: a.inputId,
  });
  await send(member, inputId);
  return inputId;
}

/** How many rounds the chain has, now that the last one did not pass. Error: ChainStop with `end` when nobody adds any. */
export async function roundsAfter(state: ChainState, round: number, end: ChainEnd, executor: Member): Promise<number> {
  if (!patched("chain-asks")) throw new ChainStop(end);
  const answer = await answerTo(state, { kind: "rounds", key: `rounds/${round}`, end }, executor, () => false);
  if (!("decision" in answer) || answer.decision === "deny") throw new ChainStop(end);
  return answer.maxRounds;
}

/** Asks, and waits for the answer or for a turn that makes it needless. Error: ChainStop on a stop or the session's end. */
async function answerTo(state: ChainState, question: Omit<ChainQuestion, "chainId">, member: Member, overtakes: IsTurn): Promise<ChainAnswer | TurnEnded> {
  const { phase } = state;
  show(state, `asks: ${question.end.why.slice(0, 300)}`);
  const { approvalId } = await records.askPeople({ chainId: state.args.chainId, ...question });
  for (;;) {
    const heard = state.answered;
    const answer = await records.readAnswer({ approvalId });
    if (answer !== null) {
      show(state, phase);
      return answer;
    }
    const overtaking = () => turnsOf(state, member).find(overtakes);
    await condition(() => state.answered !== heard || overtaking() !== undefined || member.ended !== null || state.stopped !== null);
    stopIfAsked(state);
    const turn = overtaking();
    if (turn !== undefined) {
      show(state, phase);
      // Who said "end" before the turn was done is heard.
      const first = await records.readAnswer({ approvalId, withdraw: true });
      return first?.decision === "deny" ? first : turn;
    }
    if (member.ended !== null) throw sessionOver(member);
  }
}
