import { chmodSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import type { Owner, RunnerNotice, RunnerReply, RunnerRequest, RunnerStatus } from "../contracts/runner-protocol.ts";
import { lineReader } from "../providers/json-lines.ts";

/** What a command came to, without the status. */
export type Answer = { ok: true; applied?: boolean } | { ok: false; error: "closing" | "busy" | "bad_request"; message: string };

export interface ControlServer {
  owner(): Owner;
  attached(): boolean;
  notify(notice: RunnerNotice): void;
  /** Lets answers go out, then closes every connection and the socket. */
  end(): Promise<void>;
}

/**
 * Serves the control protocol on a Unix socket (0600) with its fence: an attach with a higher epoch is persisted before it
 * counts and ends the older connection; a lower one, or the same epoch of somebody else, is refused and cut off.
 * Errors: an Error when the path is longer than the 100 bytes that are safe (the kernel cuts silently at 107).
 */
export async function serveControl(a: {
  socketPath: string;
  sessionUlid: string;
  runnerId: string;
  owner: Owner;
  persist(owner: Owner): void;
  status(): RunnerStatus;
  closing(): boolean;
  handle(request: RunnerRequest): Promise<Answer>;
  attachedChanged(attached: boolean): void;
}): Promise<ControlServer> {
  if (Buffer.byteLength(a.socketPath) > 100) throw new Error(`the socket's path is longer than 100 bytes: ${a.socketPath}`);
  let owner = a.owner;
  let current: Socket | null = null;
  const sockets = new Set<Socket>();

  function send(socket: Socket, message: RunnerReply | RunnerNotice): void {
    if (socket.writable) socket.write(JSON.stringify(message) + "\n");
  }

  function fenced(socket: Socket, id: number): void {
    send(socket, { id, ok: false, error: "fenced", message: `epoch ${owner.epoch} owns this runner`, epoch: owner.epoch });
    socket.end();
  }

  function attach(socket: Socket, request: RunnerRequest & { cmd: "attach" }): void {
    const { id, epoch } = request;
    if (request.sessionUlid !== a.sessionUlid || request.runnerId !== a.runnerId) {
      send(socket, { id, ok: false, error: "wrong_runner", message: `this is runner ${a.runnerId} of session ${a.sessionUlid}` });
      return void socket.end();
    }
    if (a.closing()) return send(socket, { id, ok: false, error: "closing", message: "the runner is closing" });
    if (epoch > owner.epoch) {
      const next = { epoch, owner: request.owner };
      a.persist(next);
      owner = next;
    }
    const older = current;
    current = socket;
    if (older !== socket) older?.destroy();
    send(socket, { id, ok: true, status: a.status() });
    a.attachedChanged(true);
  }

  async function receive(socket: Socket, line: string): Promise<void> {
    let request: RunnerRequest;
    try {
      request = JSON.parse(line) as RunnerRequest;
    } catch {
      return void socket.destroy();
    }
    if (typeof request?.id !== "number" || typeof request.epoch !== "number" || typeof request.owner !== "string") return void socket.destroy();
    const { id } = request;
    if (request.epoch < owner.epoch || (request.epoch === owner.epoch && request.owner !== owner.owner)) return fenced(socket, id);
    if (request.cmd === "attach") return attach(socket, request);
    if (socket !== current || request.epoch !== owner.epoch) return send(socket, { id, ok: false, error: "bad_request", message: "attach first" });
    const answer: Answer = request.cmd === "status" ? { ok: true } : await a.handle(request);
    send(socket, answer.ok ? { id, ...answer, status: a.status() } : { id, ...answer });
  }

  const server = createServer((socket) => {
    sockets.add(socket);
    const reader = lineReader({
      capBytes: 32 << 20,
      tooLong: () => {
        socket.destroy();
      },
      line: (text) => {
        receive(socket, text).catch(() => {
          socket.destroy();
        });
      },
    });
    socket.on("data", (piece) => reader.push(piece));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      sockets.delete(socket);
      if (current !== socket) return;
      current = null;
      a.attachedChanged(false);
    });
  });
  await listen(server, a.socketPath);

  return {
    owner: () => owner,
    attached: () => current !== null,
    notify(notice) {
      // A hint: a reader that does not keep up gets none, it looks at the file by itself.
      if (current && (current.writableLength < 1 << 20 || notice.notice === "closing")) send(current, notice);
    },
    async end() {
      server.close();
      await Promise.all(
        [...sockets].map(
          (socket) =>
            new Promise<void>((resolve) => {
              setTimeout(() => {
                socket.destroy();
                resolve();
              }, 500).unref();
              socket.end(() => resolve());
            }),
        ),
      );
      rmSync(a.socketPath, { force: true });
    },
  };
}

/** We hold the session's lock: whatever lies at the path is a dead predecessor's. */
function listen(server: Server, path: string): Promise<void> {
  rmSync(path, { force: true });
  // The socket is made inside listen(): for that moment, and not for the agent's files, the mask is narrow.
  const mask = process.umask(0o177);
  return new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => {
      chmodSync(path, 0o600);
      resolve();
    });
    process.umask(mask);
  });
}
