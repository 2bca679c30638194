/**
 * Watches an agent that works: some retry silently for ever. Nothing heard for `stallMs` is a notice, for twice as long an
 * interrupt, and `hopeless` follows when that too is not answered. Time in which people are asked does not count.
 */
export function stallWatch(a: { stallMs: number; lastHeard(): number; paused(): boolean; notice(message: string): void; stalled(): void; hopeless(): void }): {
  stop(): void;
} {
  let base = performance.now();
  let step = 0;
  const everyMs = Math.min(1_000, Math.max(20, a.stallMs / 4));
  const afterInterruptMs = Math.min(a.stallMs, 10_000);
  const timer = setInterval(() => {
    const now = performance.now();
    if (a.paused()) {
      base = now;
      return;
    }
    if (step < 2 && a.lastHeard() > base) {
      base = a.lastHeard();
      step = 0;
    }
    const silent = now - base;
    if (step === 0 && silent > a.stallMs) {
      step = 1;
      a.notice(`the agent has said nothing for ${Math.round(silent / 1000)} s`);
    } else if (step === 1 && silent > 2 * a.stallMs) {
      step = 2;
      a.stalled();
    } else if (step === 2 && silent > 2 * a.stallMs + afterInterruptMs) {
      step = 3;
      a.hopeless();
    }
  }, everyMs);
  return { stop: () => clearInterval(timer) };
}
