/** Counts how many agents of this host may work at once. First come, first served. */
export interface TurnSlots {
  /** Resolves when a slot is free; rejects with the signal's reason when aborted while waiting. */
  acquire(signal: AbortSignal): Promise<void>;
  release(): void;
  readonly free: number;
}

export function turnSlots(total: number): TurnSlots {
  let free = total;
  const waiting: (() => void)[] = [];
  return {
    get free() {
      return free;
    },
    acquire(signal) {
      if (signal.aborted) return Promise.reject(signal.reason);
      if (free > 0) {
        free -= 1;
        return Promise.resolve();
      }
      return new Promise((resolve, reject) => {
        const grant = () => {
          signal.removeEventListener("abort", leave);
          resolve();
        };
        const leave = () => {
          const at = waiting.indexOf(grant);
          if (at >= 0) waiting.splice(at, 1);
          reject(signal.reason);
        };
        waiting.push(grant);
        signal.addEventListener("abort", leave, { once: true });
      });
    },
    release() {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    },
  };
}
