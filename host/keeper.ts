import { setTimeout as sleep } from "node:timers/promises";
import { noUsage } from "../contracts/event.ts";
import type { RunTurnArgs, TurnResult } from "../contracts/messages.ts";
import type { TurnEnd } from "../contracts/provider.ts";
import { worksInRepository } from "../contracts/workspaces.ts";
import type { StoredResult, TurnRow } from "../store/rows.ts";
import { awaitBudget } from "./await-budget.ts";
import { AttemptLost, Fenced, type HostDeps } from "./deps.ts";
import { type HeldTurn, interrupted } from "./held-turn.ts";
import type { ExpectedLaunches } from "./expect-launch.ts";
import { firstWorkspace, WorkspaceFailed } from "./first-workspace.ts";
import type { WorkspaceMaker } from "./make-workspace.ts";
import { endIdleRunner } from "./obtain-runner.ts";
import { leaveSlot, pauseForAsked, takeSlot } from "./pause.ts";
import { reportAttemptLost, reportResult, reportWorkspaceFailed, turnResult } from "./report.ts";
import { workTurn } from "./turn.ts";
import { noWork } from "./work.ts";
import { workspacePlan } from "./workspace-plan.ts";

/** Owns this host's running turns: claims them, lets them work, stores and reports their results. */
export interface Keeper {
  /** Claims a turn that Temporal handed out; the stored result if there is one, else null: the keeper completes it by its token. */
  accept(args: RunTurnArgs & { runId?: string | undefined }, taskToken: string): Promise<TurnResult | null | "gone">;
  /** Takes over every open turn of this host that a dead worker left. */
  adoptAll(): Promise<number>;
  readonly held: ReadonlyMap<string, HeldTurn>;
  /** turns that met an error and are being claimed again: nobody works on them, and without beats Temporal would take the host for dead */
  readonly claimingAgain: ReadonlyMap<string, HeldTurn>;
  /** Lets go of all turns (their runners are stopped by the caller). */
  dropAll(): Promise<void>;
}

export function createKeeper(deps: HostDeps, workspaces: WorkspaceMaker, launches: ExpectedLaunches): Keeper {
  const held = new Map<string, HeldTurn>();
  const claimingAgain = new Map<string, HeldTurn>();

  async function claim(a: RunTurnArgs & { runId?: string | undefined }, taskToken: string | null): Promise<HeldTurn | TurnResult | "gone"> {
    const former = held.get(a.sessionUlid);
    if (former) {
      former.drop.abort();
      await former.ended;
    }
    const claimed = await deps.store.turns.claim({ ...a, taskToken, owner: deps.owner, minEpoch: 0 });
    await deps.stopPoint("claimed");
    if (claimed.kind === "gone") return "gone";
    if (claimed.kind === "done") return doneResult(claimed.turn, claimed.lastSeq);
    const { turn, session, input, head } = claimed;
    const mine: HeldTurn = {
      turn,
      session,
      input,
      head,
      adopted: taskToken === null,
      abort: new AbortController(),
      drop: new AbortController(),
      limitReached: null,
      agentMs: turn.agentMs,
      waiting: new Set(),
      answered: new Set(),
      work: noWork(),
      hasSlot: false,
      takingSlot: null,
      slotOver: false,
      connection: null,
      tokenGoneSince: null,
      workflowGoneSince: null,
      ended: Promise.resolve(),
    };
    held.set(a.sessionUlid, mine);
    mine.ended = runHeld(mine).finally(() => {
      if (held.get(a.sessionUlid) === mine) held.delete(a.sessionUlid);
      // A turn that ended before its agent was asked for has had it, too.
      void launches.handOver(a.sessionUlid);
    });
    return mine;
  }

  async function runHeld(mine: HeldTurn): Promise<void> {
    const { turn } = mine;
    const log = { sessionUlid: turn.sessionUlid, turnId: turn.turnId, attempt: turn.attempt, epoch: mine.head.epoch };
    const letGo = (why: unknown): void => deps.log.warn({ ...log, why: String(why) }, "turn let go");
    deps.log.info(log, mine.adopted ? "turn adopted" : "turn claimed");
    try {
      const end = (await awaitBudget(deps, mine)) ?? (await firstWorkspace(deps, workspaces, mine)) ?? (await withSlot(deps, mine, () => work(mine)));
      await finish(deps, mine, end);
      deps.log.info(log, "turn reported");
    } catch (error) {
      if (error instanceof Fenced || mine.drop.signal.aborted) return letGo(error);
      if (error instanceof AttemptLost) {
        deps.log.warn({ ...log, why: error.message }, "attempt lost");
        try {
          // The runner may have left us for who owns the turn now, and it is not lost for them.
          const owned = await deps.store.turns.owned(deps.owner, [{ sessionUlid: turn.sessionUlid, epoch: mine.head.epoch }]);
          if (owned.length === 0) return letGo(new Fenced("loss"));
          await lost(deps, turn, error.message);
        } catch (away) {
          // The runner died while Postgres was away: unheard, this would end the worker and all its turns.
          deps.log.error({ ...log, error: String(away) }, "the loss could not be recorded; claiming it again");
          return void reclaim(turn, mine);
        }
        return await reportAttemptLost(deps, turn, error.message, error.respawned, mine.drop.signal).catch(letGo);
      }
      if (error instanceof WorkspaceFailed) return await reportWorkspaceFailed(deps, turn, error.message, mine.drop.signal).catch(letGo);
      deps.log.error({ ...log, error: String((error as Error).stack ?? error) }, "turn interrupted by an error; claiming it again");
      void reclaim(turn, mine);
    }
  }

  async function work(mine: HeldTurn): Promise<TurnEnd> {
    // Two that start its agent at once would fence each other.
    await launches.handOver(mine.turn.sessionUlid);
    return workTurn(deps, mine);
  }

  /** After an error of the store or the disk the same path as after a death: claim, look at what is there, go on. */
  async function reclaim(turn: TurnRow, former?: HeldTurn): Promise<void> {
    if (former) claimingAgain.set(turn.sessionUlid, former);
    await claimedAgain(turn);
    if (claimingAgain.get(turn.sessionUlid) === former) claimingAgain.delete(turn.sessionUlid);
  }

  async function claimedAgain(turn: TurnRow): Promise<void> {
    for (let wait = 500; ; wait = Math.min(wait * 2, 5_000)) {
      await sleep(wait);
      // This turn again, or the next one, whose claim has noted that the workflow has this one's end.
      if (held.has(turn.sessionUlid)) return;
      try {
        return await adopt(turn);
      } catch (error) {
        deps.log.warn({ sessionUlid: turn.sessionUlid, error: String(error) }, "claiming again failed");
      }
    }
  }

  async function adopt(turn: TurnRow): Promise<void> {
    const { sessionUlid, generation, turnId, inputId, attempt } = turn;
    const claimed = await claim({ sessionUlid, generation, turnId, inputId, attempt }, null);
    if (claimed !== "gone" && "outcome" in claimed) await reportResult(deps, turn, claimed);
  }

  return {
    held,
    claimingAgain,
    async accept(args, taskToken) {
      const claimed = await claim(args, taskToken);
      if (claimed === "gone" && (await isUnknownInput(deps, args))) return unknownInput(args);
      // Temporal gets the stored result as this attempt's; should that be lost, a next attempt asks the row again.
      if (claimed !== "gone" && "outcome" in claimed) await deps.store.turns.markReported(args.sessionUlid, args.turnId);
      return claimed === "gone" || "outcome" in claimed ? claimed : null;
    },
    async adoptAll() {
      const open = (await deps.store.turns.unreported(deps.config.hostId)).filter((turn) => !held.has(turn.sessionUlid));
      await Promise.all(
        open.map((turn) =>
          adopt(turn).catch((error: unknown) => {
            deps.log.error({ sessionUlid: turn.sessionUlid, error: String(error) }, "adoption failed; repeating");
            void reclaim(turn);
          }),
        ),
      );
      return open.length;
    },
    async dropAll() {
      for (const turn of held.values()) turn.drop.abort();
      await Promise.all([...held.values()].map((turn) => turn.ended));
    },
  };
}

/** A slot for as long as the agent works; an abort while waiting for one ends the turn without an agent. */
async function withSlot(deps: HostDeps, held: HeldTurn, work: () => Promise<TurnEnd>): Promise<TurnEnd> {
  const takenOver = held.adopted || held.turn.attempt > 1;
  if (takenOver) await pauseForAsked(deps, held);
  try {
    await takeSlot(deps, held, AbortSignal.any([held.abort.signal, held.drop.signal]));
  } catch {
    if (held.drop.signal.aborted) throw new Fenced("slot");
    // Its agent may be at work: it had its slot from a former owner.
    if (takenOver) await endIdleRunner(deps, held.turn.sessionUlid, "abort", { turnId: held.turn.turnId });
    return interrupted();
  }
  try {
    return await work();
  } finally {
    leaveSlot(deps, held);
  }
}

/** Candidate, then the result in Postgres, then Temporal: a kill between any two is repeated by the next owner. */
async function finish(deps: HostDeps, held: HeldTurn, ended: TurnEnd): Promise<void> {
  const { turn, session, head } = held;
  // A result that beat the interrupt stands; the next turn finds the limit used up.
  const reached = held.limitReached && ended.outcome !== "completed" && !held.abort.signal.aborted ? held.limitReached : null;
  const { failure: _failure, ...said } = ended;
  const end: TurnEnd = reached ? { ...said, outcome: "limit" } : ended;
  const captured = await captureCandidate(deps, held);
  await deps.stopPoint("captured");
  const fresh = await deps.store.sessions.get(session.sessionUlid);
  // Nobody aborted this turn: its workflow was terminated or deleted.
  const orphaned = held.workflowGoneSince !== null && end.outcome === "interrupted";
  const failure = orphaned ? { class: "workflow_gone", message: "The session's workflow is gone from Temporal.", retryable: true } : end.failure;
  const stored: StoredResult = {
    outcome: orphaned ? "failed" : end.outcome,
    usage: end.usage,
    providerSessionId: fresh?.providerSessionId ?? null,
    ...(failure ? { failure } : {}),
    ...(captured ? { candidate: captured.candidate, stable: captured.stable } : {}),
  };
  const done = await deps.store.turns.complete({
    sessionUlid: turn.sessionUlid,
    epoch: head.epoch,
    owner: deps.owner,
    turnId: turn.turnId,
    result: stored,
    finalMessage: end.finalMessage,
    ...(end.stopReason ? { stopReason: end.stopReason } : {}),
    agentMs: held.agentMs,
    ...(reached ? { reached } : {}),
  });
  await deps.stopPoint("completed");
  if (!done) throw new Fenced("complete");
  await reportResult(deps, turn, turnResult(turn, done.result, done.lastSeq), held.drop.signal);
  await deps.stopPoint("reported");
}

async function captureCandidate(deps: HostDeps, held: HeldTurn) {
  const { session, turn, input } = held;
  if ((session.branchName === null && !worksInRepository(session)) || session.headAtStart === null) return null;
  try {
    const { stable, left, ...candidate } = await deps.workspaces.capture({
      plan: workspacePlan(session),
      base: session.headAtStart,
      turnId: turn.turnId,
      attempt: turn.attempt,
      at: input.createdAt,
    });
    if (left.length > 0) await noticeLeft(deps, turn, left);
    return { candidate, stable };
  } catch (error) {
    const event = {
      type: "error.raised",
      turnId: turn.turnId,
      data: { class: "workspace", message: `The candidate could not be captured: ${(error as Error).message}`.slice(0, 2_000), retryable: false },
    } as const;
    await deps.store.events.append(turn.sessionUlid, [{ key: `capture:${turn.turnId}.${turn.attempt}`, event }]);
    return null;
  }
}

/** Whoever reads the candidate must not take it for all that the agent did. */
async function noticeLeft(deps: HostDeps, turn: TurnRow, left: string[]): Promise<void> {
  const message =
    `Not in the candidate: the work in repositories inside the worktree (${left.join(", ")}). Only their own commits hold it, and nobody is shown it.`.slice(
      0,
      2_000,
    );
  const event = { type: "notice.raised", turnId: turn.turnId, data: { message } } as const;
  await deps.store.events.append(turn.sessionUlid, [{ key: `left:${turn.turnId}.${turn.attempt}`, event }]);
}

/** Records that an attempt ended without a result. */
export async function lost(deps: HostDeps, turn: TurnRow, reason: string): Promise<void> {
  const event = { type: "turn.attempt_lost", turnId: turn.turnId, attempt: turn.attempt, data: { reason } } as const;
  await deps.store.events.append(turn.sessionUlid, [{ key: `lost:${turn.turnId}.${turn.attempt}`, event }]);
}

/** An operator's Signal may name an input that never was, or one may have failed while it waited; the session it was sent to is there. */
async function isUnknownInput(deps: HostDeps, { sessionUlid, generation, inputId }: RunTurnArgs): Promise<boolean> {
  const [session, input] = await Promise.all([deps.store.sessions.get(sessionUlid), deps.store.inputs.get(inputId)]);
  return session !== null && session.closedAt === null && session.generation === generation && (input?.sessionUlid !== sessionUlid || input.state === "failed");
}

/** A result without a turn: the session goes on with its next input. */
function unknownInput({ turnId, inputId }: RunTurnArgs): TurnResult {
  const failure = { class: "unknown_input", message: `There is no input ${inputId} in this session, or it failed before its turn.`, retryable: false };
  return { turnId, outcome: "failed", failure, lastSeq: 0, providerSessionId: null, usage: noUsage, consumedInputIds: [inputId] };
}

function doneResult(turn: TurnRow, lastSeq: number): TurnResult {
  if (!turn.result) throw new Error(`turn ${turn.turnId} is done without a result`);
  return turnResult(turn, turn.result, lastSeq);
}
