import type { HostDeps } from "./deps.ts";

/**
 * Looks at what doors left for this host: at every notification, and each second in case one was lost. One look at a time, since with a silent
 * Postgres each would hold a connection; and another one if something was said meanwhile. A look that fails is made again.
 */
export function watchRows(deps: HostDeps, lookOnce: () => Promise<void>): { stop(): void } {
  let looking = false;
  let again = false;

  async function look(): Promise<void> {
    again = true;
    if (looking) return;
    looking = true;
    try {
      while (again) {
        again = false;
        await lookOnce();
      }
    } finally {
      looking = false;
    }
  }

  const soon = (): void => void look().catch(() => undefined);
  const seldom = setInterval(soon, 1_000);
  const unlisten = deps.store.feed.onInbox(deps.config.hostId, soon);
  return {
    stop() {
      clearInterval(seldom);
      unlisten();
    },
  };
}
