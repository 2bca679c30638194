import { createInterface } from "node:readline";

type Json = Record<string, unknown>;

/** The agent's end of ACP over stdio. */
export interface Wire {
  /** One `session/update`; resolves when the pipe took it. */
  update(sessionId: string, update: Json): Promise<void>;
  line(text: string): Promise<void>;
  request(method: string, params: Json): Promise<Json>;
}

/** @param on `request` gives the result, or throws `{code, message}` for an error answer */
export function wire(on: {
  request(method: string, params: Json): Promise<unknown>;
  notification(method: string, params: Json): void;
  end(): void;
  log(text: string): void;
}): Wire {
  const open = new Map<number, (result: Json) => void>();
  let nextId = 0;
  process.stdout.on("error", (error) => on.log(`write error ${(error as NodeJS.ErrnoException).code}`));
  const line = (text: string): Promise<void> =>
    new Promise((resolve) => {
      process.stdout.write(text + "\n", () => resolve());
    });
  const send = (message: Json): Promise<void> => line(JSON.stringify({ jsonrpc: "2.0", ...message }));

  createInterface({ input: process.stdin })
    .on("line", (text) => {
      let message: Json;
      try {
        message = JSON.parse(text) as Json;
      } catch {
        return on.log(`not JSON: ${text.slice(0, 200)}`);
      }
      const params = (message["params"] ?? {}) as Json;
      const { id, method } = message;
      if (typeof method !== "string") {
        open.get(Number(id))?.((message["result"] ?? {}) as Json);
        open.delete(Number(id));
        return;
      }
      if (id === undefined) return on.notification(method, params);
      on.request(method, params).then(
        (result) => send({ id, result }),
        (error: { code?: number; message: string }) => send({ id, error: { code: error.code ?? -32603, message: error.message } }),
      );
    })
    .on("close", on.end);

  return {
    line,
    update: (sessionId, update) => send({ method: "session/update", params: { sessionId, update } }),
    request: (method, params) =>
      new Promise((resolve) => {
        const id = nextId++;
        open.set(id, resolve);
        void send({ id, method, params });
      }),
  };
}
