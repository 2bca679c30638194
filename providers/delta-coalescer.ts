import type { SpoolRecord } from "../contracts/runner-protocol.ts";

type Delta = Extract<SpoolRecord, { kind: "delta" }>;

/** A way in for records that joins deltas of one item; order is kept. */
export interface Coalescer {
  write(record: SpoolRecord): void;
  flush(): void;
}

/**
 * Joins what came in with one read: a delta waits until the event loop has taken in the rest, not for a time, so that a reader is
 * never late for it. Any other record, or 8 K characters, puts it out first.
 */
export function deltaCoalescer(write: (record: SpoolRecord) => void): Coalescer {
  let held: Delta | null = null;
  let due: NodeJS.Immediate | undefined;

  function flush(): void {
    clearImmediate(due);
    due = undefined;
    const record = held;
    held = null;
    if (record) write(record);
  }

  return {
    flush,
    write(record) {
      if (record.kind !== "delta") {
        flush();
        write(record);
        return;
      }
      if (held && held.itemId === record.itemId && held.stream === record.stream) held = { ...held, text: held.text + record.text };
      else {
        flush();
        held = record;
      }
      if (held.text.length > 8_192) flush();
      else due ??= setImmediate(flush);
    },
  };
}
