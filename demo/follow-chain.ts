import { setTimeout as sleep } from "node:timers/promises";
import type { BatonEvent, Candidate, Usage } from "../contracts/event.ts";
import { PmError, type PmClient } from "../client/pm-client.ts";

/** What `pm_session get` says of a chain. */
export interface ChainAnswer {
  state: string;
  reason: string | null;
  why?: string | null;
  round: number;
  sessions: { role: string; sessionUlid: string }[];
  gates: { name: string; state?: string; passed?: boolean; why?: string }[];
  candidate?: Candidate | null;
  usage?: Partial<Usage>;
}

export interface SeenEvent {
  role: string;
  sessionUlid: string;
  event: BatonEvent;
}

/**
 * Follows a chain and all its sessions until the chain ends and every event was read. `signal` gives up (AbortError).
 * A gateway that is away for up to 30 s is waited for: cursors make a repeated read harmless.
 */
export async function followChain(pm: PmClient, chainId: string, onEvent: (seen: SeenEvent) => void, signal: AbortSignal): Promise<ChainAnswer> {
  const over = new AbortController();
  const readers = new Map<string, Promise<void>>();
  const failed = new AbortController();
  const anyEnd = AbortSignal.any([signal, failed.signal]);

  function readAll(chain: ChainAnswer): void {
    for (const { role, sessionUlid } of chain.sessions) {
      if (readers.has(sessionUlid)) continue;
      const reader = readSession(pm, role, sessionUlid, onEvent, over.signal, anyEnd);
      reader.catch((error: unknown) => failed.abort(error)); // a reader that gave up ends the whole, once
      readers.set(sessionUlid, reader);
    }
  }

  let chain = await getChain(pm, chainId, anyEnd);
  readAll(chain);
  while (chain.state !== "ended" && !chain.reason) {
    // `wait` may answer early; a short pause keeps a chatty server from being asked in a circle. New sessions show up within it.
    await patiently(() => pm.call("pm_session", { action: "wait", chainId, until: "closed", waitMs: 400 }, anyEnd), anyEnd);
    await sleep(100, undefined, { signal: anyEnd });
    chain = await getChain(pm, chainId, anyEnd);
    readAll(chain);
  }
  over.abort();
  await Promise.all(readers.values());
  return chain;
}

async function getChain(pm: PmClient, chainId: string, signal: AbortSignal): Promise<ChainAnswer> {
  const data = await patiently(() => pm.call("pm_session", { action: "get", sessionUlid: chainId }, signal), signal);
  const chain = data["chain"] as ChainAnswer | undefined;
  if (!chain || !Array.isArray(chain.sessions)) throw new Error(`Baton knows no chain ${chainId}.`);
  return chain;
}

async function readSession(
  pm: PmClient,
  role: string,
  sessionUlid: string,
  onEvent: (seen: SeenEvent) => void,
  over: AbortSignal,
  signal: AbortSignal,
): Promise<void> {
  let sinceSeq = 0;
  for (;;) {
    const last = over.aborted; // looked at before the read: what was committed before the chain's end is in it
    const stop = last ? signal : AbortSignal.any([signal, over]);
    let data: Record<string, unknown>;
    try {
      data = await patiently(() => pm.call("pm_session", { action: "events", sessionUlid, sinceSeq, waitMs: last ? 0 : 10_000 }, stop), stop);
    } catch (error) {
      if (over.aborted && !last && !signal.aborted) continue; // the long poll was cut by the chain's end: read the rest
      throw error;
    }
    const events = data["events"] as BatonEvent[];
    for (const event of events) onEvent({ role, sessionUlid, event });
    sinceSeq = events.at(-1)?.seq ?? sinceSeq;
    if (last && events.length === 0) return;
  }
}

/** Repeats what failed for want of an answer, for up to 30 s; a refusal is final. */
export async function patiently<T>(call: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  const until = Date.now() + 30_000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      signal?.throwIfAborted();
      const passing = !(error instanceof PmError) || error.code === "UNAVAILABLE" || error.code === "RATE_LIMITED";
      if (!passing || Date.now() > until) throw error;
      await sleep(500, undefined, signal ? { signal } : {});
    }
  }
}
