import { isatty } from "node:tty";

/** Were we started at a terminal? Asked at once: a terminal that was closed is none any more. */
const atTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));

/**
 * `first` at the first signal that asks us to end, `again` at every further Ctrl-C: a person who will not wait. A TERM is never "again",
 * since start.mjs passes a Ctrl-C on as one and the terminal sends it to us as well. A hangup counts only for who has a terminal: Node
 * forgets that nohup ignored it, but nohup leaves no terminal either.
 */
export function onStopSignals(first: () => void, again: () => void): void {
  let told = false;
  let interrupts = 0;
  const tell = (): void => {
    if (!told) first();
    told = true;
  };
  process.on("SIGINT", () => {
    interrupts += 1;
    if (interrupts > 1) again();
    else tell();
  });
  process.on("SIGTERM", tell);
  process.on("SIGHUP", () => {
    if (atTerminal) tell();
  });
}
