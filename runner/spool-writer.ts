import { fdatasyncSync, fstatSync, openSync, writeSync } from "node:fs";
import type { SpoolEvent, SpoolRecord } from "../contracts/runner-protocol.ts";

/** An append-only file of whole records. */
export interface SpoolWriter {
  readonly path: string;
  /** Offset behind the last record that is in the file. */
  end(): number;
  /** Never throws: with a full disk the record waits in memory and is tried again. */
  append(record: SpoolRecord): void;
  /** Resolves when everything appended is in the file. */
  flushed(): Promise<void>;
  /** `flushed`, and on the disk. */
  synced(): Promise<void>;
  /** A promise while the disk is full, else null. */
  blocked(): Promise<void> | null;
}

const retryMs = 500;

/**
 * Opens the spool. Records are written at explicit offsets: a write that was cut short is repeated at the same place, so a
 * reader that stops at the last newline never sees half a record.
 * @param a.maxEventBytes events above it have their long texts cut
 * @param a.mask takes secrets out of a text or a line
 * @param a.wrote called after records reached the file, with its new end
 */
export function openSpool(a: {
  path: string;
  maxEventBytes: number;
  mask(text: string): string;
  wrote(end: number): void;
  blocked(code: string): void;
}): SpoolWriter {
  const fd = openSync(a.path, "wx", 0o600);
  let end = fstatSync(fd).size;
  let waiting: Buffer[] = [];
  let room: { promise: Promise<void>; resolve(): void } | null = null;

  function writeOut(): void {
    while (waiting[0]) {
      const line = waiting[0];
      try {
        for (let done = 0; done < line.length;) done += writeSync(fd, line, done, line.length - done, end + done);
      } catch (error) {
        if (room === null) {
          room = Promise.withResolvers<void>();
          a.blocked((error as NodeJS.ErrnoException).code ?? "write failed");
        }
        setTimeout(writeOut, retryMs);
        return;
      }
      end += line.length;
      waiting.shift();
    }
    waiting = [];
    a.wrote(end);
    room?.resolve();
    room = null;
  }

  const spool: SpoolWriter = {
    path: a.path,
    end: () => end,
    append(record) {
      waiting.push(Buffer.from(encode(record, a.maxEventBytes, a.mask) + "\n"));
      if (room === null) writeOut();
    },
    flushed: () => room?.promise ?? Promise.resolve(),
    async synced() {
      await spool.flushed();
      fdatasyncSync(fd);
    },
    blocked: () => room?.promise ?? null,
  };
  return spool;
}

/** One line. Postgres takes neither NUL nor half a surrogate pair in a text: they are replaced (the raw log keeps them). */
function encode(record: SpoolRecord, maxEventBytes: number, mask: (text: string) => string): string {
  let values = 0;
  const text = (limit: number): string => {
    values = 0;
    const json = JSON.stringify(record, (_key, given: unknown) => {
      values += 1;
      if (typeof given !== "string") return given;
      // Before a cut, which could leave half of a secret.
      const value = given.length > limit ? mask(given) : given;
      const cut = value.length > limit ? `${value.slice(0, limit)}… [${value.length - limit + alreadyCut(value)} characters more]` : value;
      return cut.toWellFormed().replaceAll("\0", "\ufffd");
    });
    return mask(json);
  };
  let line: string;
  try {
    line = text(Infinity);
  } catch (error) {
    // An agent can nest deeper than this process can write.
    return instead(record, "", `that cannot be written: ${(error as Error).message}`);
  }
  if (record.kind !== "event") return line;
  // A value takes two bytes or more, however short its text is cut: millions of them are not tried again and again.
  if (values * 2 > maxEventBytes && Buffer.byteLength(line) > maxEventBytes) return instead(record, line, `above ${maxEventBytes} bytes`);
  for (let limit = maxEventBytes; Buffer.byteLength(line) > maxEventBytes && limit > 16; limit = Math.floor(limit / 2)) line = text(limit);
  if (Buffer.byteLength(line) <= maxEventBytes) return line;
  // Not long texts but too many values: keep that it happened.
  return instead(record, line, `above ${maxEventBytes} bytes`);
}

/** Characters that a text says were cut from it before. */
const alreadyCut = (text: string): number => Number(/… \[(\d+) characters more\]$/.exec(text.slice(-60))?.[1] ?? 0);

/** The event that stands for a record that cannot be written as it is. */
function instead(record: SpoolRecord, line: string, why: string): string {
  const of: Partial<SpoolEvent> = record.kind === "event" ? record.event : {};
  const { turnId, at = new Date().toISOString(), rawRef } = of;
  return JSON.stringify({
    kind: "event",
    event: { type: "line.unparsed", data: { text: line.slice(0, 200).toWellFormed(), reason: `a ${of.type ?? record.kind} ${why}` }, turnId, at, rawRef },
  });
}
