import type { ProgressToken } from "@modelcontextprotocol/server";
import type { Caller } from "../client/caller.ts";
import { BatonError } from "../contracts/failures.ts";
import type { Action } from "./registry/action.ts";

/** What of the SDK's context a call needs. */
export interface CallContext {
  mcpReq?: {
    signal?: AbortSignal;
    /** what the caller says of itself with each request, from 2026 on */
    envelope?: unknown;
    _meta?: { progressToken?: ProgressToken | undefined } | undefined;
    notify?(notification: { method: string; params: Record<string, unknown> }): Promise<void>;
  };
  http?: { req?: Request };
}

/** Aborts when the host gives the call up, and when it hangs up: before 2026 that alone does not end a call. A poll then answers at once, and is repeated. */
export function givenUp({ mcpReq, http }: CallContext): AbortSignal {
  return AbortSignal.any([mcpReq?.signal, http?.req?.signal].filter((signal) => signal !== undefined));
}

/** Whether the call waits for news: one that names `waitMs`, and `wait` unless it says 0. */
export function waitsForNews({ action, schema }: Pick<Action, "action" | "schema">, args: Record<string, unknown>): boolean {
  return "waitMs" in schema.shape && (args["waitMs"] ?? (action === "wait" ? 1 : 0)) !== 0;
}

/**
 * Says every `everyMs` how it stands, to a host that asked for progress: so a person sees that something happens, and the host does not
 * give the call up. Returns what ends it. `look` makes the sentence; a failure of it or of the way to the host is no failure of the call.
 */
export function sayProgress({ mcpReq }: CallContext, look: () => Promise<string>, everyMs: number): () => void {
  const token = mcpReq?._meta?.progressToken;
  if (token === undefined || mcpReq?.notify === undefined) return () => {};
  let progress = 0;
  let busy = false;
  const say = async () => {
    const message = await look().catch(() => "waiting");
    progress += 1;
    await mcpReq.notify?.({ method: "notifications/progress", params: { progressToken: token, progress, message: message.slice(0, 200) } });
  };
  const timer = setInterval(() => {
    if (busy || mcpReq.signal?.aborted) return;
    busy = true;
    void say()
      .catch(() => {})
      .finally(() => {
        busy = false;
      });
  }, everyMs).unref();
  return () => clearInterval(timer);
}

/** `running · seq 412`, of up to three sessions. From the answer of `wait`. */
export function standing(data: Record<string, unknown>): string {
  const sessions = (data["sessions"] ?? []) as { state: string; cursors: { events: number } }[];
  const shown = sessions.slice(0, 3).map(({ state, cursors }) => `${state} · seq ${cursors.events}`);
  return [...shown, ...(sessions.length > 3 ? [`and ${sessions.length - 3} more`] : [])].join(", ") || "waiting";
}

export interface WaitLimit {
  /** Error: RATE_LIMITED. Returns what gives the place back. */
  enter(caller: Caller): () => void;
}

/** An agent may wait for an hour at a time, and for all that it launched in one call. */
const mostOfAgent = 8;

/**
 * How many calls may wait for news at once, of one principal and in all: a client that drops its connection does not end its wait. Half of
 * the places is never agents': each of them is a principal of its own.
 */
export function waitLimit(mostOfOne: number, most: number): WaitLimit {
  const waiting = new Map<string, number>();
  let all = 0;
  let agents = 0;
  return {
    enter({ principal, session }) {
      const isAgent = session === undefined ? 0 : 1;
      const own = waiting.get(principal) ?? 0;
      const mine = isAgent ? Math.min(mostOfAgent, mostOfOne) : mostOfOne;
      const full = all >= most || (isAgent && agents >= Math.ceil(most / 2));
      if (own >= mine || full) {
        const whose = own >= mine ? `${own} calls of yours wait` : `${isAgent ? `${agents} calls of agents` : `${all} calls`} wait`;
        throw new BatonError("RATE_LIMITED", `${whose} for news already: wait for several sessions in one call, or call again later.`, { retryAfterMs: 5_000 });
      }
      waiting.set(principal, own + 1);
      all += 1;
      agents += isAgent;
      return () => {
        all -= 1;
        agents -= isAgent;
        const left = (waiting.get(principal) ?? 1) - 1;
        if (left === 0) waiting.delete(principal);
        else waiting.set(principal, left);
      };
    },
  };
}
