import type { Delivery } from "../contracts/event.ts";
import type { InputSignal } from "../contracts/messages.ts";

/** Most inputs that wait. Doors stop at fewer; this bounds what anyone with access to Temporal can make continue-as-new carry. */
const maxWaiting = 1_000;

/** How many ids of inputs that left the queue are remembered. */
const rememberedIds = 200;

/** Inputs that wait for a turn, oldest first, and the ids that were in it (for dedupe). Plain data: continue-as-new carries it. */
export interface InputQueue {
  waiting: string[];
  seen: string[];
}

/** A queue from what continue-as-new carried, or empty. */
export function openQueue(carried?: { queue: string[]; seen: string[] }): InputQueue {
  return { waiting: [...(carried?.queue ?? [])], seen: [...(carried?.seen ?? [])] };
}

/**
 * Adds an input, at the front when it interrupts. False: it is or was here, or the queue is full, which no door lets it
 * become (BATON_INPUT_QUEUE, twice that with interrupts). A door's Signal and the sweeper's second one may both arrive,
 * in either order and in different runs.
 */
export function enqueue(queue: InputQueue, inputId: string, delivery: Delivery): boolean {
  if (queue.waiting.includes(inputId) || queue.seen.includes(inputId) || queue.waiting.length >= maxWaiting) return false;
  if (delivery === "interrupt") queue.waiting.unshift(inputId);
  else queue.waiting.push(inputId);
  return true;
}

/** Takes the oldest input for a turn. */
export function dequeue(queue: InputQueue): string | undefined {
  const inputId = queue.waiting.shift();
  if (inputId !== undefined) remember(queue, inputId);
  return inputId;
}

/** Takes out the named inputs and returns those that were waiting. */
export function removeFrom(queue: InputQueue, inputIds: readonly string[]): string[] {
  const removed = queue.waiting.filter((id) => inputIds.includes(id));
  queue.waiting = queue.waiting.filter((id) => !removed.includes(id));
  for (const id of removed) remember(queue, id);
  return removed;
}

/** Takes out the named inputs, also those whose own Signal is still to come; returns all that have had no turn. */
export function discard(queue: InputQueue, inputIds: readonly string[]): string[] {
  const early = inputIds.filter((id) => !queue.waiting.includes(id) && !queue.seen.includes(id));
  const removed = removeFrom(queue, inputIds);
  for (const id of early) remember(queue, id);
  return [...removed, ...early];
}

function remember(queue: InputQueue, inputId: string): void {
  queue.seen.push(inputId);
  if (queue.seen.length > rememberedIds) queue.seen.splice(0, queue.seen.length - rememberedIds);
}

/** An input Signal after the check of its shape; `null`: nonsense. Anyone can send a Signal from Temporal's UI. */
export function readInputSignal(body: unknown): InputSignal | null {
  if (typeof body !== "object" || body === null) return null;
  const { inputId, prompt, requestId, delivery } = body as Record<string, unknown>;
  if (delivery !== undefined && delivery !== "queue" && delivery !== "steer" && delivery !== "interrupt") return null;
  const how = delivery === undefined ? {} : { delivery: delivery as Delivery };
  if (typeof inputId === "string") return isId(inputId) ? { inputId, ...how } : null;
  if (typeof prompt !== "string" || prompt.trim() === "") return null;
  if (requestId === undefined) return { prompt, ...how };
  return typeof requestId === "string" && requestId !== "" && requestId.length <= 200 ? { prompt, requestId, ...how } : null;
}

function isId(value: string): boolean {
  return /^[0-9A-Za-z_-]{1,64}$/.test(value);
}
