/**
 * Two clocks that run one at a time, both monotonic: idle time since the last turn, and time in a turn without anybody attached.
 * `idle` and `orphaned` are called at most once between changes.
 */
export interface Limits {
  changed(state: { working: boolean; attached: boolean }): void;
  stop(): void;
}

export function limits(a: { keepAliveMs: number; orphanMs: number; idle(): void; orphaned(): void }): Limits {
  let timer: NodeJS.Timeout | undefined;
  let running: "idle" | "orphan" | null = null;
  /** setTimeout cannot wait longer than 2^31 ms. */
  const start = (ms: number, over: () => void): NodeJS.Timeout => setTimeout(over, Math.min(ms, 2 ** 31 - 1));
  return {
    changed({ working, attached }) {
      const wanted = working ? (attached ? null : "orphan") : "idle";
      // An attach or a detach does not make an idle runner younger.
      if (wanted === running) return;
      clearTimeout(timer);
      running = wanted;
      if (wanted === "idle") timer = start(a.keepAliveMs, a.idle);
      if (wanted === "orphan") timer = start(a.orphanMs, a.orphaned);
    },
    stop() {
      clearTimeout(timer);
    },
  };
}
