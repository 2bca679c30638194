import { condition, patched } from "@temporalio/workflow";
import type { ChainAnswer, ChainQuestion, TurnEnded } from "../contracts/messages.ts";
import { recordInput, records } from "./chain-activities.ts";
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
  /** what the chain asked for itself, and what stands for it */
  const own = new Set([inputId]);
  const askAgain = async (stopped: string): Promise<IsTurn> => {
    const again = await recordAgain(state, member, { asked: inputId, stopped, round });
    own.add(again);
    return turnOf(again);
  };
  let isWanted = turnOf(inputId);
  for (let n = 1; ; n += 1) {
    const turn = await turnWhere(state, member, isWanted);
    const end = turn === null ? endByDeadline(member.role, state.args.turnDeadlineSeconds) : endByTurn(member.role, turn);
    if (turn !== null && end === null) {
      if (await isAnswer(member, turn, own)) return turn;
      // A judge who was spoken to in between is asked for its verdict all the same, on the candidate that it is for.
      isWanted = await askAgain(inputId);
      continue;
    }
    if (end === null || !isAsked(turn)) throw new ChainStop(end!);
    if (turn?.next !== undefined && (await goesOn(turn.next))) {
      isWanted = turnOf(turn.next);
      continue;
    }
    const turnId = turn?.turnId ?? inputId;
    const question = { kind: "gate", key: `turn/${member.sessionUlid}/${turnId}/${n}`, end, turn: { sessionUlid: member.sessionUlid, turnId } } as const;
    const isNew = isAfter(state, member, turn);
    const heard = await answerTo(state, question, member, { late: turn === null ? isWanted : never, other: turn?.outcome === "limit" ? isNew : isDone(isNew) });
    if ("outcome" in heard) isWanted = turnOf(heard.turnId);
    else if (heard.decision === "deny") throw stopAll(state, { ...end, why: `${end.why}; ${heard.by} ended the chain` });
    else if (turn !== null) isWanted = heard.budget ? isNew : await askAgain(turnId);
  }
}

/** A failed turn and one of unknown outcome are no one's to wave through. */
function isAsked(turn: TurnEnded | null): boolean {
  return (turn === null || turn.outcome === "interrupted" || turn.outcome === "limit") && patched("chain-asks");
}

/** Is it the work that the chain asked for? An executor's is whatever it did last; a verdict is given to the chain's own question, never to a message of somebody else. */
async function isAnswer(member: Member, turn: TurnEnded, own: ReadonlySet<string>): Promise<boolean> {
  return member.role === "executor" || own.has(turn.turnId) || (await records.readOrigin({ inputId: turn.turnId })).from === "chain";
}

/** Was the turn interrupted for this input, or does it wait because people want it done? Then nobody needs to be asked. */
async function goesOn(inputId: string): Promise<boolean> {
  const { from, interrupts } = await records.readOrigin({ inputId });
  return interrupts || from === "people";
}

/** The turns that the session told of behind this one; null: from now on. */
function isAfter(state: ChainState, member: Member, turn: TurnEnded | null): IsTurn {
  const told = turnsOf(state, member);
  const known = new Set(turn === null ? told : told.slice(0, told.indexOf(turn) + 1));
  return (one) => !known.has(one);
}

/** Turns that make a question needless: the late one itself, or another in which the session has got something else to do. */
interface Overtaking {
  late: IsTurn;
  other: IsTurn;
}
const never: IsTurn = () => false;
const isDone =
  (isNew: IsTurn): IsTurn =>
  (turn) =>
    turn.outcome === "completed" && isNew(turn);

/** Ends the chain for all who wait in it at the same time. */
function stopAll(state: ChainState, end: ChainEnd): ChainStop {
  state.stopped ??= end;
  return new ChainStop(state.stopped);
}

async function recordAgain(state: ChainState, member: Member, a: { asked: string; stopped: string; round: number }): Promise<string> {
  const { sessionUlid } = member;
  state.asked += 1;
  const { inputId } = await recordInput(state, {
    sessionUlid,
    key: `again/${sessionUlid}/${a.stopped}/${state.asked}`,
    kind: "again",
    round: a.round,
    of: { asked: a.asked, stopped: a.stopped },
  });
  await send(member, inputId);
  return inputId;
}

/** How many rounds the chain has, now that the last one did not pass. Error: ChainStop with `end` when nobody adds any. */
export async function roundsAfter(state: ChainState, round: number, end: ChainEnd, executor: Member): Promise<number> {
  if (!patched("chain-asks")) throw new ChainStop(end);
  const answer = await answerTo(state, { kind: "rounds", key: `rounds/${round}`, end }, executor, { late: never, other: never });
  if (!("decision" in answer) || answer.decision === "deny") throw new ChainStop(end);
  return answer.maxRounds;
}

/** Asks, and waits for the answer or for a turn that makes it needless. Error: ChainStop on a stop or the session's end. */
async function answerTo(
  state: ChainState,
  question: Omit<ChainQuestion, "chainId">,
  member: Member,
  { late, other }: Overtaking,
): Promise<ChainAnswer | TurnEnded> {
  const { phase } = state;
  show(state, `asks: ${question.end.why.slice(0, 300)}`);
  const { approvalId } = await records.askPeople({ chainId: state.args.chainId, ...question });
  /** turns that agents asked for: what people were asked is not theirs to answer */
  const passed = new Set<TurnEnded>();
  for (;;) {
    const heard = state.answered;
    const answer = await records.readAnswer({ approvalId });
    if (answer !== null) {
      show(state, phase);
      return answer;
    }
    const find = () => turnsOf(state, member).find((turn) => late(turn) || (other(turn) && !passed.has(turn)));
    await condition(() => state.answered !== heard || find() !== undefined || member.ended !== null || state.stopped !== null);
    stopIfAsked(state);
    const turn = find();
    if (turn !== undefined) {
      if (!late(turn) && (await records.readOrigin({ inputId: turn.turnId })).from === "agent") {
        passed.add(turn);
        continue;
      }
      show(state, phase);
      // Who said "end" before the turn was done is heard.
      const first = await records.readAnswer({ approvalId, withdraw: true });
      return first?.decision === "deny" ? first : turn;
    }
    if (member.ended !== null) throw sessionOver(member);
  }
}
