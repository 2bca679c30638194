import type { TurnEnd } from "../contracts/provider.ts";
import { noUsage } from "../contracts/event.ts";
import { ensureWorkspace, forgetConversation, hasWorkspace, withTranscript } from "./begin-anew.ts";
import { AttemptLost, Fenced, type HostDeps } from "./deps.ts";
import { followTurn, isEndOf } from "./follow-turn.ts";
import { type HeldTurn, interrupted, unlessDropped } from "./held-turn.ts";
import { attachLiving, closeRunner, obtainRunner, type Obtained } from "./obtain-runner.ts";
import { resume } from "./pause.ts";
import { type SpoolTail, spoolTail, type TailRecord } from "./spool-tail.ts";
import { workspacePlan } from "./workspace-plan.ts";

/**
 * Lets an agent work on a claimed turn until it ends, whatever a former owner had already done:
 * a prompt that is in a spool is never sent again, an end that is in a spool is taken as it is.
 * Throws Fenced, AttemptLost, or a store error (then the turn is claimed again).
 */
export async function workTurn(deps: HostDeps, held: HeldTurn): Promise<TurnEnd> {
  const end = await workOnce(deps, held, { anew: false });
  if (end.failure?.class !== "session_not_found") return end;
  // The agent does not know its conversation any more. A prompt that it had there is not sent a second time.
  await forgetConversation(deps, held, end.failure.message);
  if (await promptWritten(deps, held)) return unknownOutcome();
  return workOnce(deps, held, { anew: true });
}

/** `anew`: the former runner's spool says that this turn has ended, and is not to be believed. */
async function workOnce(deps: HostDeps, held: HeldTurn, { anew }: { anew: boolean }): Promise<TurnEnd> {
  const { turn } = held;
  const head = anew ? ((await deps.store.events.head(turn.sessionUlid)) ?? held.head) : held.head;
  const claim = { session: held.session, epoch: held.head.epoch, configuration: held.input.configuration, drop: held.drop.signal };
  const fence = { sessionUlid: turn.sessionUlid, epoch: held.head.epoch, turnId: turn.turnId, attempt: turn.attempt };

  let living = await attachLiving(deps, claim);
  // Its agent is at a turn that was given up while no worker was here: what it still does is nobody's.
  if (living !== null && living.status.turnId !== null && living.status.turnId !== turn.turnId) {
    await closeRunner(deps, living, "turn_given_up", held.drop.signal);
    living = null;
  }
  if (anew && living !== null && living.status.runnerId === head.spoolId) {
    await closeRunner(deps, living, "conversation_lost", held.drop.signal);
    living = null;
  }
  // It waits in a directory that somebody removed: nothing that it starts there would run.
  if (living !== null && living.status.turnId === null && !(await hasWorkspace(held.session))) {
    await closeRunner(deps, living, "workspace_missing", held.drop.signal);
    living = null;
  }
  if (head.spoolId !== null && head.spoolId !== living?.status.runnerId) {
    // The head's spool belongs to a runner that is gone: take all of it before the next one's.
    const stopped = await drain(spoolTail(deps, fence, head.spoolId, head.spoolOffset), (record) => !anew && isEndOf(record, turn.turnId));
    if (stopped && isEndOf(stopped, turn.turnId)) return stopped.end;
  }
  const written = await promptWritten(deps, held);
  const knowsTurn = living !== null && living.status.promptedTurns.includes(turn.turnId);
  if (knowsTurn && living) {
    const offset = await takeSpool(deps, held, living, fence);
    // A later attempt that finds the agent at work: it runs, and its row is to say so.
    if (turn.state === "queued") await recordStart(deps, held, living);
    return follow(deps, held, living, fence, offset);
  }
  if (held.abort.signal.aborted || held.limitReached) return interrupted();
  // The drained spool may have told us of the agent's own conversation.
  let session = (await deps.store.sessions.get(turn.sessionUlid)) ?? held.session;
  if (written && held.adopted) {
    living?.connection.detach();
    throw new AttemptLost("the agent's process ended while no worker looked", !(await wasStopped(deps, held)));
  }
  if (living === null && session.providerSessionId !== null) {
    const { resumable, freshSeq, deliveredSeq } = await deps.store.sessions.conversation(turn.sessionUlid);
    if (resumable === false) await forgetConversation(deps, held, "the agent cannot open an old one");
    // Aborted while its agent opened: it is empty, and to go on with it would leave out what only a new one begins with, the system prompt.
    const isEmpty = !written && freshSeq !== null && freshSeq > (deliveredSeq ?? 0);
    if (resumable === false || isEmpty) session = { ...session, providerSessionId: null };
  }
  if (written) {
    if (!session.providerSessionId) {
      living?.connection.detach();
      return unknownOutcome();
    }
  } else if (living === null) await ensureWorkspace(deps, held, session);
  if (!written && held.input.checkout) {
    // It may take long enough for an idle runner to go.
    living?.connection.detach();
    await checkoutCandidate(deps, held);
    living = await attachLiving(deps, claim);
  }
  if (living === null && !(await forgetAsked(deps, held))) return interrupted();
  const runner = await obtainRunner(deps, { ...claim, session }, living);
  // Before the prompt: if we and then the runner die behind it, the next owner must find in this spool that it was written.
  const offset = await takeSpool(deps, held, runner, fence);
  const isFresh = runner.spawned || held.adopted || turn.attempt > 1;
  const prompt = written ? continuation(held.input.prompt) : isFresh ? await withTranscript(deps, held, session, held.input.prompt) : held.input.prompt;
  await sendPrompt(deps, held, runner, prompt);
  return follow(deps, held, runner, fence, offset);
}

/** What a former agent asked has nobody any more who could hear the answer. (One that was given already serves the same question again.) False: aborted meanwhile. */
async function forgetAsked(deps: HostDeps, held: HeldTurn): Promise<boolean> {
  const { turn, head } = held;
  if (turn.n === 1 && turn.attempt === 1 && !held.adopted) return true;
  const expired = await deps.store.approvals.expireAgents({ sessionUlid: turn.sessionUlid, epoch: head.epoch, owner: deps.owner });
  try {
    // It gave its slot away to wait for them.
    for (const approvalId of expired)
      if (held.waiting.has(approvalId)) await resume(deps, held, approvalId, AbortSignal.any([held.abort.signal, held.drop.signal]));
    return true;
  } catch (error) {
    if (held.drop.signal.aborted) throw new Fenced("slot");
    if (held.abort.signal.aborted) return false;
    throw error;
  }
}

/** Appends what is left of a spool whose runner is gone, up to the record that `stopAt` finds: that one, or null at the end. */
async function drain(rest: SpoolTail, stopAt?: (record: TailRecord) => boolean): Promise<TailRecord | null> {
  for (let before = -1; before !== rest.offset;) {
    before = rest.offset;
    const { stopped } = await rest.advance(stopAt);
    if (stopped) return stopped;
  }
  return null;
}

type Fence = { sessionUlid: string; epoch: number; turnId: string; attempt: number };

/** Makes the runner's spool the session's; the offset to go on from. */
async function takeSpool(deps: HostDeps, held: HeldTurn, runner: Obtained, fence: Fence): Promise<number> {
  const { runnerId } = runner.status;
  if (held.head.spoolId === runnerId) return held.head.spoolOffset;
  const current = await deps.store.events.head(fence.sessionUlid);
  if (current?.spoolId === runnerId) return current.spoolOffset;
  // One that went since this turn looked, or was closed because the turn wants another launch, had last words.
  if (current?.spoolId) await drain(spoolTail(deps, fence, current.spoolId, current.spoolOffset));
  if (!(await deps.store.turns.switchSpool({ sessionUlid: fence.sessionUlid, epoch: fence.epoch, owner: deps.owner, spoolId: runnerId })))
    throw new Fenced("switch spool");
  return 0;
}

async function follow(deps: HostDeps, held: HeldTurn, runner: Obtained, fence: Fence, offset: number): Promise<TurnEnd> {
  held.connection = runner.connection;
  try {
    const end = await followTurn(deps, held, runner, spoolTail(deps, fence, runner.status.runnerId, offset));
    // After an abort no process of the agent's tree may stay, also none that it hid in another session of the system.
    if (held.abort.signal.aborted) await closeRunner(deps, runner, "abort", held.drop.signal);
    return end;
  } catch (error) {
    if (error instanceof Fenced) runner.connection.detach();
    throw error;
  } finally {
    held.connection = null;
  }
}

async function recordStart(deps: HostDeps, { turn, head, input }: HeldTurn, runner: Obtained): Promise<void> {
  const started = await deps.store.turns.start({
    sessionUlid: turn.sessionUlid,
    epoch: head.epoch,
    owner: deps.owner,
    turnId: turn.turnId,
    runnerId: runner.status.runnerId,
    pid: runner.status.pid,
    ...(input.checkout ? { candidate: input.checkout.commit } : {}),
  });
  if (!started) throw new Fenced("prompt");
}

async function sendPrompt(deps: HostDeps, held: HeldTurn, runner: Obtained, text: string): Promise<void> {
  const { turn, input } = held;
  await recordStart(deps, held, runner);
  await deps.stopPoint("prompt.sent");
  // The reply waits for the agent's handshake. An abort meanwhile is not to wait for it.
  const stop = () => void runner.connection.request({ cmd: "interrupt", turnId: turn.turnId }).catch(() => undefined);
  const asked = runner.connection.request({ cmd: "prompt", turnId: turn.turnId, inputId: input.inputId, text });
  if (held.abort.signal.aborted) stop();
  else held.abort.signal.addEventListener("abort", stop, { once: true });
  const reply = await unlessDropped(held.drop.signal, "prompt", asked)
    .catch((error: unknown) => runnerGone(held, error))
    .finally(() => {
      held.abort.signal.removeEventListener("abort", stop);
      if (held.drop.signal.aborted) runner.connection.detach();
    });
  await deps.stopPoint("prompt.told");
  if (reply === null || reply.ok) return;
  if (reply.error === "fenced") throw new Fenced("prompt");
  throw new AttemptLost(`the runner refused the prompt: ${reply.message}`, reply.error !== "closing");
}

/** An agent that takes its runner along while it opens must not be started for ever: each counts. Null: the turn was to end anyway. */
function runnerGone(held: HeldTurn, error: unknown): null {
  if ((error as { code?: string }).code !== "gone") throw error;
  if (held.abort.signal.aborted || held.limitReached) return null;
  throw new AttemptLost("the runner is gone", true);
}

async function promptWritten(deps: HostDeps, held: HeldTurn): Promise<boolean> {
  const input = await deps.store.inputs.get(held.input.inputId);
  return input?.state === "delivered" || input?.state === "consumed";
}

/** Was this attempt ended on purpose (Ctrl-C), so that it does not count? */
async function wasStopped(deps: HostDeps, held: HeldTurn): Promise<boolean> {
  const lost = await deps.store.events.read(held.turn.sessionUlid, { sinceSeq: 0, limit: 1_000, types: ["turn.attempt_lost"], turnId: held.turn.turnId });
  return lost.some((event) => event.attempt === held.turn.attempt && (event.data as { reason?: string }).reason === "shutdown");
}

/** A reviewer looks at exactly one candidate: its worktree is moved there before the prompt. */
async function checkoutCandidate(deps: HostDeps, held: HeldTurn): Promise<void> {
  const wanted = held.input.checkout;
  if (!wanted) return;
  const data = await deps.workspaces.checkout({ plan: workspacePlan(held.session), commit: wanted.commit });
  const event = { type: "candidate.checked_out", data, turnId: held.turn.turnId, attempt: held.turn.attempt } as const;
  await deps.store.events.append(held.turn.sessionUlid, [{ key: `checkout:${held.turn.turnId}.${held.turn.attempt}`, event }]);
}

const continuation = (prompt: string): string =>
  `Your process was interrupted in the middle of this task and has been started again in the same workspace. Look at what you have already done, do not repeat it, and finish.\n\nThe task was:\n${prompt}`;

const unknownOutcome = (): TurnEnd => ({
  outcome: "unknown",
  usage: noUsage,
  finalMessage: "",
  failure: {
    class: "outcome_unknown",
    message: "The agent's process ended after it had the prompt and it cannot resume its conversation. Look at the workspace, then send an input to go on.",
    retryable: false,
  },
});
