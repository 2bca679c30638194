import {
  ApplicationFailure,
  CancellationScope,
  defineQuery,
  defineSignal,
  defineUpdate,
  log,
  patched,
  setDefaultSignalHandler,
  setHandler,
  uuid4,
} from "@temporalio/workflow";
import { queryNames, signalNames, updateNames } from "../contracts/messages.ts";
import type { AbortSignalBody, CloseSignal, InputSignal } from "../contracts/messages.ts";
import { discard, enqueue, readInputSignal, removeFrom } from "./input-queue.ts";
import { messageBytes, maxMessageBytes } from "./message-size.ts";
import { engine } from "./session-activities.ts";
import type { SessionState } from "./session-state.ts";

/** Answer of the Update `submit`; `position` is 1 for the next to run, 0 when it no longer waits. */
export interface Submitted {
  inputId: string;
  position: number;
}

/** Answer of the Query `state`; for debugging. */
export interface SessionView {
  closing: string | null;
  turnId: string | null;
  attempt: number | null;
  waiting: string[];
  turns: number;
  workspaceReady: boolean;
}

/** Installs the handlers. `dropped` is told which inputs an abort took out of the queue. */
export function handleMessages(state: SessionState, dropped: (inputIds: string[]) => Promise<void>): void {
  const onSignal = new Map<string, (body: unknown) => void | Promise<void>>([
    [signalNames.input, (body) => acceptSafely(state, body)],
    [
      signalNames.abort,
      async (body) => {
        const ids = abort(state, (typeof body === "object" && body !== null ? body : {}) as AbortSignalBody);
        if (ids.length > 0) await CancellationScope.nonCancellable(() => dropped(ids));
      },
    ],
    [
      signalNames.close,
      (body) => {
        const { reason, covers } = (typeof body === "object" && body !== null ? body : {}) as CloseSignal;
        if (Array.isArray(covers) && !isCovered(state, covers)) return;
        close(state, typeof reason === "string" && reason !== "" ? reason.slice(0, 500) : "closed");
      },
    ],
  ]);
  // The SDK gives what waited for a handler to each one as it is set, name by name: an input that came behind a close would be taken for one before it.
  if (state.args.signals === "inOrder") setDefaultSignalHandler(async (name, body) => onSignal.get(name)?.(body));
  // With names all the same: Temporal's UI lists them.
  for (const [name, handler] of onSignal) setHandler(defineSignal<[unknown]>(name), handler);
  setHandler(defineQuery<SessionView>(queryNames.state), () => view(state));
  setHandler(defineUpdate<Submitted, [unknown]>(updateNames.submit), (body) => submit(state, body), { validator: (body) => refuseNonsense(state, body) });
}

/** Ends the session after the open turn, which is cancelled. The first reason stays. */
export function close(state: SessionState, reason: string): void {
  state.closing ??= reason;
  // Asked for again: what came in between is not to wake the session any more, and what an earlier one took stays taken.
  state.covered = [...new Set([...state.covered, ...known(state)])];
  state.current?.scope.cancel();
}

/** Every input that the session has and has not ended. */
const known = (state: SessionState): string[] => [...(state.current === null ? [] : [state.current.turnId]), ...state.queue.waiting];
const isCovered = (state: SessionState, covers: unknown[]): boolean => known(state).every((inputId) => covers.includes(inputId));

// A Signal may come from anyone with access to Temporal: whatever it holds, the session goes on.
async function acceptSafely(state: SessionState, body: unknown): Promise<void> {
  const signal = readInputSignal(body);
  if (signal === null || messageBytes(signal) > maxMessageBytes)
    return log.warn("An input Signal of no known shape was dropped", { sessionUlid: state.args.sessionUlid });
  try {
    await accept(state, signal);
  } catch (error) {
    log.warn("An input Signal was dropped", { sessionUlid: state.args.sessionUlid, error: String(error).slice(0, 500) });
  }
}

async function accept(state: SessionState, signal: InputSignal): Promise<string | null> {
  const delivery = signal.delivery ?? "queue";
  const inputId = "inputId" in signal ? signal.inputId : await record(state, signal);
  if (inputId === null) return null;
  // Only a new input interrupts: its second Signal must not cancel the turn that it opened itself.
  if (enqueue(state.queue, inputId, delivery) && delivery === "interrupt") state.current?.scope.cancel();
  return inputId;
}

async function record(state: SessionState, signal: { prompt: string; requestId?: string; delivery?: "queue" | "steer" | "interrupt" }): Promise<string | null> {
  const { sessionUlid } = state.args;
  const requestId = signal.requestId ?? uuid4();
  const recorded = await CancellationScope.nonCancellable(() =>
    engine.recordOperatorInput({ sessionUlid, requestId, prompt: signal.prompt, delivery: signal.delivery ?? "queue" }),
  );
  return recorded?.inputId ?? null;
}

async function submit(state: SessionState, body: unknown): Promise<Submitted> {
  const signal = readInputSignal(body);
  const inputId = signal === null ? null : await accept(state, signal);
  if (inputId === null) throw ApplicationFailure.nonRetryable("The input was refused; the session's events say why", "INVALID_ARGUMENT");
  return { inputId, position: state.queue.waiting.indexOf(inputId) + 1 };
}

function refuseNonsense(state: SessionState, body: unknown): void {
  if (state.closing !== null) throw ApplicationFailure.nonRetryable("The session is closing", "CONFLICT_STATE");
  if (readInputSignal(body) === null)
    throw ApplicationFailure.nonRetryable("Send {inputId} or {prompt, requestId?, delivery?: queue | steer | interrupt}", "INVALID_ARGUMENT");
  if (messageBytes(body) > maxMessageBytes) throw ApplicationFailure.nonRetryable(`An input has at most ${maxMessageBytes} bytes`, "LIMIT_EXCEEDED");
}

/** Cancels one turn and returns the inputs that leave the queue. An abort of a turn that is over does nothing at all. */
function abort(state: SessionState, { turnId, dropQueue, drop }: AbortSignalBody): string[] {
  const { current, queue } = state;
  const named = Array.isArray(drop) ? drop.filter((id) => typeof id === "string") : null;
  // A close may take this turn along, or has: it leaves its input recorded, and an abort does not.
  if (typeof turnId === "string" && (state.closing !== null || turnId === current?.turnId)) state.aborted.push(turnId, ...(named ?? []));
  // It waited when the abort was sent, and has got its turn since.
  if (current !== null && named?.includes(current.turnId) && patched("abort-of-what-waited")) current.scope.cancel();
  // Of a turn that is over, or none yet: a late repeat. What has waited since the first is not in its list.
  if (turnId !== undefined && turnId !== current?.turnId) return named === null ? removeFrom(queue, [turnId]) : discard(queue, [turnId, ...named]);
  current?.scope.cancel();
  if (dropQueue === false) return [];
  return named === null ? removeFrom(queue, queue.waiting) : discard(queue, named);
}

function view(state: SessionState): SessionView {
  const { closing, current, queue, turns, workspaceReady } = state;
  return { closing, turnId: current?.turnId ?? null, attempt: current?.attempt ?? null, waiting: [...queue.waiting], turns, workspaceReady };
}
