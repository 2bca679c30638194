import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Server } from "node:net";
import { join } from "node:path";

/**
 * One Baton per home. The lock is a listening socket, which the kernel frees at our death, `kill -9` included.
 * Null: another living process holds it. `release` gives it back.
 */
export async function lockHome(home: string): Promise<{ release(): void } | null> {
  const name = createHash("sha256").update(home).digest("hex").slice(0, 32);
  if (process.platform === "linux") return await listen(`\0baton/home/${name}`);
  // no abstract sockets: a file, removed when nobody answers behind it. Two starts in the same instant could both remove it.
  const path = join(home, "lock.sock");
  if (await answers(path)) return null;
  rmSync(path, { force: true });
  return await listen(path);
}

async function listen(path: string): Promise<{ release(): void } | null> {
  const server: Server = createServer((socket) => socket.destroy());
  const held = await new Promise<boolean>((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(false) : reject(error)));
    server.listen(path, () => resolve(true));
  });
  server.unref();
  return held
    ? {
        release: () => {
          server.close();
        },
      }
    : null;
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
