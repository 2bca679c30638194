import type { IncomingMessage, ServerResponse } from "node:http";
import type { MiddlewareHandler } from "hono";

/**
 * Serves the requests of one connection one after the other. HTTP/1.1 answers in order anyhow; but Node hands out all requests that a
 * client has sent ahead, and a hundred answers computed at once for a reader that takes none of them would fill our memory.
 */
export function oneAtATime(): MiddlewareHandler {
  const last = new WeakMap<object, Promise<void>>();
  return async (c, next) => {
    const { incoming, outgoing } = c.env as { incoming?: IncomingMessage; outgoing?: ServerResponse };
    if (incoming === undefined || outgoing === undefined) return next();
    const before = last.get(incoming.socket);
    // `close`: the whole answer is with the system, or the connection is gone.
    last.set(incoming.socket, new Promise((resolve) => outgoing.once("close", resolve)));
    await before;
    // All that it had sent ahead would otherwise be computed at once, for nobody.
    if (incoming.socket.destroyed) return c.body(null, 408);
    return next();
  };
}
