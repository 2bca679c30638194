import { setTimeout as sleep } from "node:timers/promises";
import { type McpServer, ProtocolError, ProtocolErrorCode, type ServerEvent, type ServerEventBus } from "@modelcontextprotocol/server";
import { BatonError } from "../contracts/failures.ts";
import type { Read } from "./resources.ts";

/** Between two words about the same resource, ms. */
const pauseMs = 1_000;
const mostUris = 16;

/** A resource that somebody hears about from now on, once it is `start`ed. `stop` gives its place back. */
export interface Subscription {
  uri: string;
  start(tell: () => void): void;
  stop(): void;
}
/** Subscribes a caller. Rejects with a BatonError: no such session for this caller, no session's resource, no room (RATE_LIMITED). */
export type Subscribe = (uri: string) => Promise<Subscription>;

/** News of sessions for one caller, who is asked for their right to it at every look. `enter` takes one of the places for those who wait. */
export function sessionNews(read: Read, enter: () => () => void): Subscribe {
  return async (uri) => {
    const sessionUlid = /^session:\/\/([^/]+)(?:\/.*)?$/.exec(uri)?.[1];
    if (sessionUlid === undefined) throw new BatonError("NOT_FOUND", `Nothing is heard of ${uri}: subscribe to session://<ulid>.`, { field: "uri" });
    // Before the client is told that it is subscribed: what happens after that is not missed.
    const { data } = await read({ action: "events", sessionUlid, tail: 1, maxBytes: 1_000 });
    const leave = enter();
    const over = new AbortController();
    return {
      uri,
      start: (tell) => void follow(read, sessionUlid, Number(data["lastSeq"]), tell, over.signal),
      stop: () => {
        if (!over.signal.aborted) leave();
        over.abort();
      },
    };
  };
}

async function follow(read: Read, sessionUlid: string, from: number, tell: () => void, signal: AbortSignal): Promise<void> {
  let seq = from;
  while (!signal.aborted) {
    try {
      const { data } = await read({ action: "events", sessionUlid, sinceSeq: seq, limit: 1, maxBytes: 1_000, waitMs: 25_000 }, signal);
      const last = Number(data["lastSeq"]);
      if (last > seq && !signal.aborted) {
        seq = last;
        tell();
        await sleep(pauseMs, undefined, { ref: false });
      }
    } catch (error) {
      // The right to it may have ended, or the session is gone: then nothing more is heard.
      if (!(error instanceof BatonError) || error.code !== "UNAVAILABLE") return;
      await sleep(pauseMs, undefined, { ref: false });
    }
  }
}

/** 2025: `resources/subscribe` and its opposite, until the session ends. */
export function registerSubscriptions(server: McpServer, subscribe: Subscribe): void {
  const current = new Map<string, Subscription>();
  let closed = false;
  const stop = (uri: string) => {
    current.get(uri)?.stop();
    current.delete(uri);
  };
  server.server.registerCapabilities({ resources: { subscribe: true } });
  server.server.setRequestHandler("resources/subscribe", async ({ params: { uri } }) => {
    if (current.size >= mostUris)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `At most ${mostUris} resources: unsubscribe from one first.`, { uri });
    const subscription = await subscribe(uri).catch((error: unknown) => {
      throw error instanceof BatonError ? new ProtocolError(ProtocolErrorCode.InvalidParams, error.message, { uri, code: error.code }) : error;
    });
    stop(uri);
    if (closed) subscription.stop();
    current.set(uri, subscription);
    subscription.start(() => void server.server.sendResourceUpdated({ uri }).catch(() => {}));
    return {};
  });
  server.server.setRequestHandler("resources/unsubscribe", ({ params: { uri } }) => {
    stop(uri);
    return {};
  });
  server.server.onclose = () => {
    closed = true;
    for (const uri of current.keys()) stop(uri);
  };
}

/** 2026: those of the wished-for resources that this caller may hear about. The rest is left out, as the acknowledgement then says. */
export async function takeAll(subscribe: Subscribe, uris: string[]): Promise<Subscription[]> {
  const taken = await Promise.allSettled([...new Set(uris)].slice(0, mostUris).map(subscribe));
  return taken.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
}

/** What one stream of 2026 hears: its own subscriptions, and what `common` says to all. `ended` is called with the stream's end. */
export function busOf(subscriptions: Subscription[], common: ServerEventBus, ended: () => void): ServerEventBus {
  return {
    publish: (event: ServerEvent) => common.publish(event),
    subscribe(listener) {
      const leave = common.subscribe(listener);
      for (const { uri, start } of subscriptions) start(() => listener({ kind: "resource_updated", uri }));
      return () => {
        leave();
        for (const { stop } of subscriptions) stop();
        ended();
      };
    },
  };
}
