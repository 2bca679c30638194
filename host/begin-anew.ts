import { access } from "node:fs/promises";
import type { SessionRow } from "../store/rows.ts";
import { Fenced, type HostDeps } from "./deps.ts";
import type { HeldTurn } from "./held-turn.ts";
import { restorePlan } from "./workspace-plan.ts";

/** Of the transcript that a new conversation begins with: turns, characters of one text, bytes of it all. */
const mostTurns = 40;
const mostText = 4_000;
const mostBytes = 49_152;

/** Takes the conversation from the session: the next start of its agent begins a new one. */
export async function forgetConversation(deps: HostDeps, held: HeldTurn, why: string): Promise<void> {
  const { turn, head } = held;
  const mine = await deps.store.sessions.forgetConversation({ sessionUlid: turn.sessionUlid, epoch: head.epoch, owner: deps.owner, turnId: turn.turnId, why });
  if (!mine) throw new Fenced("conversation");
}

/** `session`: as it was before the agent was started. With the transcript before it, if the agent's conversation is a new one in an old session. */
export async function withTranscript(deps: HostDeps, held: HeldTurn, session: SessionRow, prompt: string): Promise<string> {
  const { turn } = held;
  const { firstSeq, freshSeq, deliveredSeq } = await deps.store.sessions.conversation(turn.sessionUlid);
  if (firstSeq === null || deliveredSeq === null) return prompt;
  // A former owner of this turn may have begun the new conversation and died before its first prompt.
  const unheard = freshSeq !== null && freshSeq > firstSeq && freshSeq > deliveredSeq;
  if (session.providerSessionId !== null && !unheard) return prompt;
  const told = await deps.store.turns.told(turn.sessionUlid, { before: turn.n, limit: mostTurns, most: mostText });
  const parts: string[] = [];
  let bytes = 0;
  for (const one of told) {
    const part = `### Turn ${one.n} (${one.outcome ?? "ended"})\n\nYou were asked:\n${one.prompt}\n\nYou answered:\n${one.answer || "(nothing)"}`;
    if ((bytes += Buffer.byteLength(part)) > mostBytes) break;
    parts.unshift(part);
  }
  if (parts.length === 0) return prompt;
  const message = `The agent began a new conversation: it got the transcript of ${parts.length} ${parts.length === 1 ? "turn" : "turns"} as context.`;
  await deps.store.events.append(turn.sessionUlid, [
    { key: `transcript:${turn.turnId}`, event: { type: "notice.raised", turnId: turn.turnId, data: { message } } },
  ]);
  return `You have worked in this workspace before, in a conversation that cannot be opened again. What was said in it (the newest ${parts.length} turns, long texts cut):\n\n${parts.join("\n\n")}\n\n---\n\nThe workspace holds what you did. Now:\n\n${prompt}`;
}

/** Is the session's worktree where it was made? */
export const hasWorkspace = (session: SessionRow): Promise<boolean> =>
  access(session.worktreePath).then(
    () => true,
    () => false,
  );

/** A worktree that somebody removed is made again, from its branch and the last candidate. */
export async function ensureWorkspace(deps: HostDeps, held: HeldTurn, session: SessionRow): Promise<void> {
  if (await hasWorkspace(session)) return;
  await deps.workspaces.prepare(await restorePlan(deps, session));
  const message = "The workspace was missing: it was made again from its branch and the last candidate.";
  await deps.store.events.append(session.sessionUlid, [
    { key: `workspace.rebuilt:${held.turn.turnId}`, event: { type: "notice.raised", turnId: held.turn.turnId, data: { message } } },
  ]);
}
