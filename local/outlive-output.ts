/** A terminal that is closed, or a pipe that nobody reads any more, must not end us: what is written there is lost, and that is all. */
export function outliveOutput(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
}
