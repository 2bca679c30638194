import type { Candidate } from "../contracts/event.ts";
import type { VerdictView } from "../contracts/messages.ts";
import { recordInput, records } from "./chain-activities.ts";
import { ChainStop, send, startMember } from "./chain-members.ts";
import type { ChainState, Member } from "./chain-members.ts";
import { finishedTurn } from "./chain-questions.ts";

/** Asks a reviewer or the auditor for a verdict on the candidate; one repair turn if the answer has no verdict. */
export async function askVerdict(state: ChainState, role: "reviewer" | "auditor", n: number, round: number, candidate: Candidate): Promise<VerdictView> {
  const kind = role === "reviewer" ? "review" : "audit";
  const key = `${kind}/${round}/${role}-${n}`;
  const { workflowId, args } = await records.openRoleSession({ chainId: state.args.chainId, role, n });
  const { inputId } = await recordInput(state, { sessionUlid: args.sessionUlid, key, kind, round, candidate });
  const member = await deliver(state, role, workflowId, args, inputId);
  const first = await verdictOf(state, member, role, inputId, round, candidate);
  if (first !== null) return first;
  const repair = await recordInput(state, {
    sessionUlid: args.sessionUlid,
    key: `repair/${key}`,
    kind: "repair",
    round,
    candidate,
  });
  await send(member, repair.inputId);
  const second = await verdictOf(state, member, role, repair.inputId, round, candidate);
  if (second !== null) return second;
  throw new ChainStop({ reason: "needs_human", why: `The ${role} ${n} gave no readable verdict in round ${round}, asked twice` });
}

async function deliver(
  state: ChainState,
  role: "reviewer" | "auditor",
  workflowId: string,
  args: Parameters<typeof startMember>[3],
  inputId: string,
): Promise<Member> {
  const known = state.members.find((m) => m.workflowId === workflowId);
  if (known === undefined) return startMember(state, role, workflowId, { ...args, inputId });
  await send(known, inputId);
  return known;
}

async function verdictOf(
  state: ChainState,
  member: Member,
  role: "reviewer" | "auditor",
  inputId: string,
  round: number,
  candidate: Candidate,
): Promise<VerdictView | null> {
  const { turnId } = await finishedTurn(state, member, inputId, round);
  return records.recordVerdict({ chainId: state.args.chainId, sessionUlid: member.sessionUlid, turnId, role, round, candidate });
}
