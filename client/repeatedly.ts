/** Runs `pass` at once and again `everyMs` after each end. Returns a function that stops it and resolves when the current pass is over. */
export function repeatedly(everyMs: number, pass: () => Promise<void>): () => Promise<void> {
  const stopped = new AbortController();
  const running = (async () => {
    while (!stopped.signal.aborted) {
      await pass();
      await sleep(everyMs, stopped.signal);
    }
  })();
  return () => {
    stopped.abort();
    return running;
  };
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
