import type { ProcessIdentity } from "./process-identity.ts";

/** A running process as its starter hands it over. */
export interface Started {
  identity: ProcessIdentity;
  ended: Promise<string>;
  stop(graceMs: number): Promise<void>;
}

export interface KeptUp {
  stop(graceMs: number): Promise<void>;
  pid(): number | null;
}

const firstPauseMs = 250;
const longestPauseMs = 10_000;
/** One that was up and lived this long does not die of its start: its successor does not have to wait. */
const healthyMs = 5_000;

/**
 * Starts a process and starts it again whenever it dies, with growing pauses. Rejects when the very first start fails.
 * `changed` gets each new identity, and null while there is none; neither it nor `say` may throw.
 */
export async function keepUp(a: {
  name: string;
  start(): Promise<Started>;
  say(line: string): void;
  changed(identity: ProcessIdentity | null): void;
}): Promise<KeptUp> {
  let stopping = false;
  let wake = (): void => {};
  let current: Started | null = await a.start();
  a.changed(current.identity);
  const loop = (async () => {
    let pause = firstPauseMs;
    let since = performance.now();
    while (!stopping) {
      const why: string = current === null ? "" : await current.ended;
      if (stopping) return;
      if (current !== null) {
        a.changed(null);
        a.say(`${a.name} ended (${why}); starting it again`);
      }
      pause = performance.now() - since > healthyMs ? firstPauseMs : Math.min(pause * 2, longestPauseMs);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pause);
        wake = () => {
          clearTimeout(timer); // nobody waits for a pause that is over
          resolve();
        };
      });
      if (stopping) return;
      since = performance.now();
      try {
        current = await a.start();
        a.changed(current.identity);
        a.say(`${a.name} is up again (pid ${current.identity.pid})`);
      } catch (error) {
        current = null;
        a.say(`${a.name} does not start: ${firstLine(error)}`);
      }
    }
  })();
  return {
    pid: () => current?.identity.pid ?? null,
    async stop(graceMs) {
      stopping = true;
      wake();
      await current?.stop(graceMs);
      // a start that was under way when we were told to stop
      await loop;
      await current?.stop(graceMs);
      a.changed(null);
    },
  };
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n")[0] ?? "";
}
