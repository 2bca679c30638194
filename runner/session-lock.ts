import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Takes the session's lock: a name in Linux's abstract socket space, which the kernel frees at the holder's death, however it
 * dies. Waits a little for a predecessor that is on its way out.
 * @returns false when another runner holds it
 * Errors: an Error when the name would be longer than the kernel takes.
 */
export async function takeSessionLock(a: { uid: number; instance: string; sessionUlid: string; waitMs: number }): Promise<boolean> {
  const name = `\0baton/${a.uid}/${a.instance}/${a.sessionUlid}`;
  // A longer name is cut, and two sessions would share a lock.
  if (Buffer.byteLength(name) > 107) throw new Error(`the lock's name is too long for the kernel: ${name.slice(1)}`);
  const end = performance.now() + a.waitMs;
  for (;;) {
    if (await listen(name)) return true;
    if (performance.now() > end) return false;
    await sleep(50);
  }
}

function listen(name: string): Promise<boolean> {
  const server = createServer((socket) => {
    socket.destroy();
  });
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(false) : reject(error)));
    server.listen({ path: name }, () => {
      server.unref();
      resolve(true);
    });
  });
}
