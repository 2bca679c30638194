import { setTimeout as sleep } from "node:timers/promises";

/** Repeats until the other side is there; says every ten seconds what it waits for. */
export async function connectPatiently<T>(what: string, log: { warn(fields: object, message: string): void }, connect: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await connect();
    } catch (error) {
      if (tries % 20 === 0) log.warn({ error: String(error) }, `${what} does not answer; repeating`);
      await sleep(500);
    }
  }
}
