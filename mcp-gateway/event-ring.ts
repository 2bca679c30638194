import { randomUUID } from "node:crypto";
import type { EventStore, JSONRPCMessage } from "@modelcontextprotocol/server";

interface Kept {
  session: string;
  stream: string;
  message: JSONRPCMessage;
  bytes: number;
}

/**
 * The newest messages of all 2025 sessions, so that a client whose connection broke takes up its answer with `Last-Event-ID`.
 * At most `mostBytes`; the oldest go first. A comfort only: it is by cursors and keys that nothing is lost.
 */
export function eventRing(mostBytes: number): { of(session: string): EventStore } {
  const kept = new Map<string, Kept>();
  let bytes = 0;
  const store = (one: Kept): string => {
    const id = randomUUID();
    kept.set(id, one);
    bytes += one.bytes;
    for (const [oldest, { bytes: size }] of kept) {
      if (bytes <= mostBytes) break;
      kept.delete(oldest);
      bytes -= size;
    }
    return id;
  };
  return {
    of: (session) => {
      const streamOf = (id: string) => (kept.get(id)?.session === session ? kept.get(id)?.stream : undefined);
      return {
        storeEvent: (stream, message) => Promise.resolve(store({ session, stream, message, bytes: 200 + JSON.stringify(message).length })),
        getStreamIdForEventId: (id) => Promise.resolve(streamOf(id)),
        async replayEventsAfter(last, { send }) {
          const stream = streamOf(last) ?? "";
          let after = false;
          for (const [id, one] of kept) {
            // An empty message only marks a place in its stream.
            if (after && one.session === session && one.stream === stream && Object.keys(one.message).length > 0) await send(id, one.message);
            after ||= id === last;
          }
          return stream;
        },
      };
    },
  };
}
