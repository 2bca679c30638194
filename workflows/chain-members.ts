import { SearchAttributeType, TypedSearchAttributes, defineSearchAttributeKey } from "@temporalio/common";
import { CancellationScope, ParentClosePolicy, condition, getExternalWorkflowHandle, log, patched, startChild, workflowInfo } from "@temporalio/workflow";
import { signalNames } from "../contracts/messages.ts";
import type { ChainArgs, SessionArgs, TurnEnded } from "../contracts/messages.ts";
import { small } from "./message-size.ts";
import type { ChainEnd } from "./round-rules.ts";
import type { session } from "./session.ts";

export type Role = "executor" | "reviewer" | "auditor";

/** A session of the chain. `ended`: why its workflow is over; null while it lives. */
export interface Member {
  role: Role;
  workflowId: string;
  sessionUlid: string;
  ended: string | null;
}

/** What a chain workflow knows. `turns` holds, in the order of their news, each end that a session told of, by `<session>/<turn>`. */
export interface ChainState {
  readonly args: ChainArgs;
  readonly members: Member[];
  readonly turns: Map<string, TurnEnded>;
  /** grows when people add some */
  maxRounds: number;
  /** how often somebody told of an answer; how often a stopped turn was asked for again */
  answered: number;
  asked: number;
  /** what people read in Temporal's UI */
  phase: string;
  /** its end is not decided yet */
  deciding: boolean;
  /** why the chain is to end before its time: an abort, a close, a cancel, the end of its executor */
  stopped: ChainEnd | null;
}

/** Unwinds the chain's body with the end that was decided somewhere below it. */
export class ChainStop extends Error {
  readonly end: ChainEnd;
  constructor(end: ChainEnd) {
    super(end.why);
    this.name = "ChainStop";
    this.end = end;
  }
}

/** Starts a session as a child. Its id is derived from the chain's, so a second one cannot be. */
export async function startMember(state: ChainState, role: Role, workflowId: string, args: SessionArgs): Promise<Member> {
  stopIfAsked(state);
  const member: Member = { role, workflowId, sessionUlid: args.sessionUlid, ended: null };
  const handle = await startChild<typeof session>("session", {
    workflowId,
    args: [small({ ...args, chainWorkflowId: workflowInfo().workflowId })],
    parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
    staticSummary: args.summary.slice(0, 200),
    memo: { sessionUlid: args.sessionUlid },
    typedSearchAttributes: labels(state, role, args.sessionUlid),
  });
  state.members.push(member);
  // Not awaited: whoever waits for a turn of this member looks at `ended`.
  handle.result().then(
    (end) => isOver(state, member, end.reason),
    (error: unknown) => isOver(state, member, String(error).slice(0, 300)),
  );
  return member;
}

function isOver(state: ChainState, member: Member, ended: string): void {
  member.ended = ended;
  // Whatever its reviewers find, nobody is left to mend it.
  if (member.role === "executor" && state.deciding && patched("chain-ends-with-its-executor")) state.stopped ??= sessionOver(member).end;
}

/** Sends a recorded input to a session. Error: ChainStop when the session is over. */
export async function send(member: Member, inputId: string): Promise<void> {
  if (member.ended !== null) throw sessionOver(member);
  try {
    await getExternalWorkflowHandle(member.workflowId).signal(signalNames.input, small({ inputId }));
  } catch {
    throw sessionOver(member);
  }
}

/** The end of the turn of that kind that the session told of first; null: none within the deadline. Error: ChainStop on the session's end or a stop. */
export async function turnWhere(state: ChainState, member: Member, isWanted: (turn: TurnEnded) => boolean): Promise<TurnEnded | null> {
  const find = () => turnsOf(state, member).find(isWanted);
  const inTime = await condition(() => find() !== undefined || member.ended !== null || state.stopped !== null, state.args.turnDeadlineSeconds * 1_000);
  stopIfAsked(state);
  // The news of the turn may come together with the session's end: the turn counts.
  const turn = find();
  if (turn !== undefined) return turn;
  if (!inTime) return null;
  throw sessionOver(member);
}

/** The turns of a session that have ended, in the order in which it told of them. */
export function turnsOf(state: ChainState, member: Member): TurnEnded[] {
  return [...state.turns.values()].filter((turn) => turn.sessionUlid === member.sessionUlid);
}

/** Error: ChainStop when somebody asked the chain to end. */
export function stopIfAsked(state: ChainState): void {
  if (state.stopped !== null) throw new ChainStop(state.stopped);
}

/** The result of an effect that may take for ever: a stop cancels it, and is what counts then, whatever comes of it. `heeds`: asked only then. */
export function untilStopped<T>(state: ChainState, effect: () => Promise<T>, heeds = () => true): Promise<T> {
  const scope = new CancellationScope({ cancellable: true });
  let isOver = false;
  const over = (): void => {
    isOver = true;
  };
  // Its own promise is given, not the scope's: with one more in between, and the histories of older chains replay in another order.
  let result!: Promise<T>;
  void scope.run(() => (result = effect())).then(over, over);
  void condition(() => isOver || state.stopped !== null).then(() => {
    if (!isOver && heeds()) scope.cancel();
  });
  return result;
}

/** Asks every session to close and waits up to 60 s: a host that is away must not hold the chain's end for ever. */
export async function closeMembers(state: ChainState, reason: string): Promise<void> {
  const open = state.members.filter((m) => m.ended === null);
  await Promise.all(
    open.map((m) =>
      getExternalWorkflowHandle(m.workflowId)
        .signal(signalNames.close, small({ reason: `chain ended: ${reason}` }))
        .catch((error: unknown) => log.info("A session of the chain did not take the close", { workflowId: m.workflowId, error: String(error) })),
    ),
  );
  await condition(() => open.every((m) => m.ended !== null), "60s");
}

/** Key of a turn's end in `ChainState.turns`. */
export function turnKey(sessionUlid: string, turnId: string): string {
  return `${sessionUlid}/${turnId}`;
}

/** The end that a session's own end means. */
export function sessionOver(member: Member): ChainStop {
  return new ChainStop({
    reason: "aborted",
    why: `The session of the ${member.role} ended before the chain${member.ended === null ? "" : ` (${member.ended})`}`,
  });
}

function labels(state: ChainState, role: Role, sessionUlid: string): TypedSearchAttributes {
  const keyword = (name: string, value: string) => ({ key: defineSearchAttributeKey(name, SearchAttributeType.KEYWORD), value });
  return new TypedSearchAttributes([
    keyword("BatonSession", sessionUlid),
    keyword("BatonTask", state.args.taskKey),
    keyword("BatonRole", role),
    keyword("BatonChain", state.args.chainId),
    keyword("BatonState", "starting"),
  ]);
}
