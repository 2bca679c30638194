/** A JSON-RPC error that the other side answered with. */
export class RpcError extends Error {
  readonly code: number;
  readonly data: unknown;
  constructor(code: number, message: string, data: unknown) {
    super(message);
    this.name = "RpcError";
    this.code = code;
    this.data = data;
  }
}

type Json = Record<string, unknown>;
type RpcId = string | number;

export interface RpcPeer {
  /** Takes one line from the other side. Never throws; what is no JSON-RPC goes to `unparsed`. */
  receive(line: string): void;
  /** Rejects with an RpcError, or with what `fail` said. */
  request(method: string, params: unknown): Promise<unknown>;
  notify(method: string, params: unknown): void;
  /** Ends every open request: the other side is gone. */
  fail(error: Error): void;
}

export interface RpcHandlers {
  send(line: string): void;
  /** The answer's result; a thrown RpcError becomes an error answer. */
  onRequest(method: string, params: Json): Promise<unknown>;
  onNotification(method: string, params: Json): void;
  unparsed(line: string, reason: string): void;
}

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);

/** One end of a JSON-RPC 2.0 conversation over lines, tolerant of everything that is not JSON-RPC. */
export function rpcPeer(handlers: RpcHandlers): RpcPeer {
  const open = new Map<RpcId, { resolve(value: unknown): void; reject(error: Error): void }>();
  let nextId = 0;
  let failed: Error | null = null;

  const send = (message: Json): void => handlers.send(JSON.stringify({ jsonrpc: "2.0", ...message }));

  function answer(id: RpcId, method: string, params: Json): void {
    handlers.onRequest(method, params).then(
      (result) => send({ id, result: result ?? {} }),
      (error: unknown) =>
        send({
          id,
          error: error instanceof RpcError ? { code: error.code, message: error.message, data: error.data } : { code: -32603, message: String(error) },
        }),
    );
  }

  function settle(id: RpcId, message: Json, line: string): void {
    const waiting = open.get(id);
    if (!waiting) return handlers.unparsed(line, "an answer to nothing that was asked");
    open.delete(id);
    if (!isObject(message["error"])) return waiting.resolve(message["result"]);
    const { code, message: text, data } = message["error"];
    waiting.reject(new RpcError(typeof code === "number" ? code : -32603, typeof text === "string" ? text : "error without a message", data));
  }

  return {
    receive(line) {
      let message: unknown;
      try {
        message = JSON.parse(line);
      } catch {
        return handlers.unparsed(line, "not JSON");
      }
      if (!isObject(message)) return handlers.unparsed(line, "not a JSON-RPC message");
      const { id, method } = message;
      const params = isObject(message["params"]) ? message["params"] : {};
      const hasId = typeof id === "string" || typeof id === "number";
      if (typeof method === "string") return hasId ? answer(id, method, params) : handlers.onNotification(method, params);
      if (hasId && ("result" in message || "error" in message)) return settle(id, message, line);
      handlers.unparsed(line, "not a JSON-RPC message");
    },
    request(method, params) {
      if (failed) return Promise.reject(failed);
      const id = nextId++;
      return new Promise((resolve, reject) => {
        open.set(id, { resolve, reject });
        send({ id, method, params });
      });
    },
    notify(method, params) {
      if (!failed) send({ method, params });
    },
    fail(error) {
      failed ??= error;
      for (const waiting of open.values()) waiting.reject(error);
      open.clear();
    },
  };
}
