import { setTimeout as sleep } from "node:timers/promises";
import { ulid } from "ulid";
import type { Deps } from "./deps.ts";

const beatMs = 3_000;

/**
 * Runs `body` while the slot of the session's turn is free for others, and answers when the turn has it again. Without a host that knows of
 * the turn nothing is free and nothing is waited for.
 */
export async function withoutSlot<T>(deps: Deps, sessionUlid: string, signal: AbortSignal | undefined, body: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { waits } = await deps.getStore();
  const waitId = ulid();
  // Who waits may be gone without a word, interrupted in the middle of its call.
  const over = new AbortController();
  const both = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  if (!(await waits.begin({ waitId, sessionUlid }))) return body(both);
  const beat = setInterval(() => {
    waits.beat(waitId).then(
      (alive) => alive || over.abort(),
      () => undefined,
    );
  }, beatMs);
  try {
    const result = await body(both);
    await waits.resuming(waitId);
    // A host that is away gives no slot; its turn is gone then too, and with it whoever waits for this answer.
    for (let pauseMs = 10; !both.aborted; pauseMs = Math.min(pauseMs * 2, 200)) {
      const state = await waits.state(waitId);
      if (state === null || state === "resumed") break;
      await sleep(pauseMs);
    }
    return result;
  } finally {
    clearInterval(beat);
    await waits.end(waitId).catch(() => undefined);
  }
}
