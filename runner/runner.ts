import { noUsage } from "../contracts/event.ts";
import type { TurnFailure } from "../contracts/event.ts";
import { ProviderOpenError } from "../contracts/provider.ts";
import type { ProviderDriver, ProviderSession, Sink, TurnEnd } from "../contracts/provider.ts";
import { runnerProtocol } from "../contracts/runner-protocol.ts";
import type { RunnerRequest, RunnerSpec, RunnerStatus } from "../contracts/runner-protocol.ts";
import { setTimeout as sleep } from "node:timers/promises";
import type { Answer } from "./control-server.ts";
import type { SpoolWriter } from "./spool-writer.ts";

/** `lost`: the turn that is open gets no end: it was not the user who stopped it, and another attempt follows. */
export interface Closing {
  reason: string;
  lost: boolean;
}

export interface Runner {
  handle(request: RunnerRequest): Promise<Answer>;
  status(epoch: number): RunnerStatus;
  /** Begins the end; final and idempotent. */
  close(closing: Closing): void;
  isClosing(): boolean;
  /** Resolves with the reason when the agent is gone and the spool is written. */
  readonly closed: Promise<string>;
}

interface CurrentTurn {
  turnId: string;
  interrupted: boolean;
  ended: Promise<void>;
  end(end: TurnEnd): void;
}

/** Reasons of a `close` command that mean "go on later", not "stop the turn". */
const lostReasons = new Set(["shutdown", "attempt_lost"]);

/**
 * One agent, one turn at a time. Knows nothing of sockets and files: `main.ts` puts those around it.
 * @param a.changed called when a turn begins or ends and when closing begins
 */
export function createRunner(a: {
  spec: RunnerSpec;
  driver: ProviderDriver;
  spool: SpoolWriter;
  sink: Sink;
  changed(working: boolean): void;
  closingNow(reason: string): void;
}): Runner {
  const { spec, spool } = a;
  const { launch } = spec;
  const replies = new Map<string, Promise<Answer>>();
  const prompted: string[] = [];
  const answered = new Map<string, string>();
  const done = Promise.withResolvers<string>();
  let session: ProviderSession | null = null;
  let turn: CurrentTurn | null = null;
  let closing: Closing | null = null;

  const opening: Promise<ProviderSession | TurnFailure> = a.driver.open(launch, a.sink).then(
    (opened) => {
      session = opened;
      // A dead agent is of no use to the next turn. A turn that is open gets its end first.
      void opened.exited.then(async () => {
        await turn?.ended;
        close({ reason: "agent_exited", lost: false });
      });
      return opened;
    },
    (error: unknown) => (error instanceof ProviderOpenError ? error.failure : { class: "handshake", message: (error as Error).message, retryable: false }),
  );

  function begin(turnId: string): CurrentTurn {
    const ended = Promise.withResolvers<void>();
    const begun: CurrentTurn = {
      turnId,
      interrupted: false,
      ended: ended.promise,
      end(end) {
        if (turn !== begun) return;
        turn = null;
        // The attempt is lost: without this mark the next one knows that the turn is still to be ended.
        if (!closing?.lost)
          spool.append({ kind: "mark", mark: "turn.ended", turnId, end, providerSessionId: session?.providerSessionId ?? launch.resume ?? null });
        void spool
          .synced()
          .catch(() => undefined)
          .then(() => {
            ended.resolve();
          });
        a.changed(false);
        if (spool.end() > spec.maxSpoolBytes) close({ reason: "spool_full", lost: false });
      },
    };
    turn = begun;
    a.changed(true);
    return begun;
  }

  async function prompt({ turnId, inputId, text }: RunnerRequest & { cmd: "prompt" }): Promise<Answer> {
    const current = begin(turnId);
    // An interrupt ends a turn that has no prompt yet: who asked for it does not wait for a handshake that may never end.
    const opened = await Promise.race([opening, current.ended.then(() => null)]);
    if (turn !== current || opened === null) return { ok: true, applied: true };
    if ("class" in opened) {
      current.end({ outcome: "failed", failure: opened, usage: noUsage, finalMessage: "" });
      close({ reason: "open_failed", lost: false });
      return { ok: true, applied: true };
    }
    // On the disk before the agent has it: without this mark the prompt was never sent, and may be.
    spool.append({ kind: "mark", mark: "prompt.written", turnId, inputId });
    prompted.push(turnId);
    await spool.synced().catch((error: unknown) => {
      // Nobody knows what the disk holds: the next attempt looks, with an agent of its own. This one would count as prompted for good.
      close({ reason: "spool_failed", lost: true });
      throw error;
    });
    void opened.prompt(turnId, inputId, text).then((end) => current.end(current.interrupted && end.outcome === "failed" ? interrupted(end) : end));
    // An interrupt that came while the disk was full had no turn to go to.
    if (current.interrupted) await opened.interrupt();
    return { ok: true, applied: true };
  }

  function interrupt(turnId: string): Answer {
    const current = turn;
    if (current?.turnId !== turnId) return { ok: true, applied: false };
    if (current.interrupted) return { ok: true, applied: true };
    current.interrupted = true;
    if (!prompted.includes(turnId)) current.end({ outcome: "interrupted", usage: noUsage, finalMessage: "" });
    else void escalate(current);
    return { ok: true, applied: true };
  }

  /** The protocol's interrupt first; an agent that does not end its turn in time is ended itself. */
  async function escalate(current: CurrentTurn): Promise<void> {
    await session?.interrupt();
    const late = new AbortController();
    const inTime = await Promise.race([current.ended.then(() => true), sleep(spec.stopGraceMs, false, { signal: late.signal }).catch(() => true)]);
    late.abort();
    if (!inTime) await session?.close(spec.stopGraceMs);
  }

  function close(next: Closing): void {
    if (closing) return;
    closing = next;
    a.closingNow(next.reason);
    void (async () => {
      try {
        await stopAgent(next.lost);
      } catch (error) {
        const message = `the agent could not be stopped: ${(error as Error).message}`;
        spool.append({ kind: "event", event: { type: "notice.raised", data: { message }, at: new Date().toISOString() } });
      }
      // A prompt that waits for an agent which never came.
      turn?.end({ outcome: "interrupted", usage: noUsage, finalMessage: "" });
      // With a full disk: what cannot be written in time is lost, and an attempt that is lost is said by its silence.
      await Promise.race([spool.flushed(), sleep(10_000, undefined, { ref: false })]);
    })().finally(() => {
      // Whatever failed: a runner that does not end holds its session's lock for good.
      done.resolve(next.reason);
    });
  }

  async function stopAgent(lost: boolean): Promise<void> {
    if (turn && !lost) turn.interrupted = true;
    const opened = session ?? (await Promise.race([opening, sleep(spec.stopGraceMs, null, { ref: false })]));
    if (!opened || !("close" in opened)) return;
    // An attempt that is lost goes on in the agent's next process: told of a cancel, the agent would take the turn for ended by the user.
    if (!lost) await opened.interrupt();
    await opened.close(spec.stopGraceMs);
  }

  async function handle(request: RunnerRequest): Promise<Answer> {
    switch (request.cmd) {
      case "prompt": {
        const known = replies.get(request.turnId);
        if (known) return known;
        if (closing) return { ok: false, error: "closing", message: closing.reason };
        if (turn) return { ok: false, error: "busy", message: `turn ${turn.turnId} is not over` };
        const reply = prompt(request);
        replies.set(request.turnId, reply);
        return reply;
      }
      case "interrupt":
        return interrupt(request.turnId);
      case "respond": {
        // A repeat by somebody who does not know that the agent has it: told "no", they would give the answer to the next request like it.
        const given = answered.get(request.approvalId);
        if (given !== undefined) return { ok: true, applied: given === request.decision };
        const applied = session?.respond(request.approvalId, request.decision) ?? false;
        if (applied) answered.set(request.approvalId, request.decision);
        // Also an agent that does not hear the driver's cancel is to stop.
        if (applied && request.decision === "deny_stop" && turn) interrupt(turn.turnId);
        return { ok: true, applied };
      }
      case "silence":
        session?.expectSilence(request.expected);
        return { ok: true, applied: session !== null };
      case "close":
        close({ reason: request.reason, lost: lostReasons.has(request.reason) });
        return { ok: true, applied: true };
      default:
        return { ok: false, error: "bad_request", message: `unknown command ${JSON.stringify((request as { cmd: unknown }).cmd)}` };
    }
  }

  return {
    handle,
    close,
    isClosing: () => closing !== null,
    closed: done.promise,
    status: (epoch) => ({
      protocol: runnerProtocol,
      sessionUlid: launch.sessionUlid,
      runnerId: launch.runnerId,
      specHash: spec.specHash,
      pid: process.pid,
      agentPid: session?.pid ?? null,
      epoch,
      providerSessionId: session?.providerSessionId ?? null,
      spoolPath: spool.path,
      spoolEnd: spool.end(),
      turnId: turn?.turnId ?? null,
      promptedTurns: [...prompted],
      closing: closing !== null,
    }),
  };
}

/** We ended the agent because it did not hear the interrupt: that is what was asked for. */
function interrupted(end: TurnEnd): TurnEnd {
  const { failure: _failure, ...rest } = end;
  return { ...rest, outcome: "interrupted" };
}
