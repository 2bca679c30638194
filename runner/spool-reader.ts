import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { SpoolRecord } from "../contracts/runner-protocol.ts";

/** A record, or a line that is none; `end` is the offset behind its newline. */
export interface SpoolEntry {
  record: SpoolRecord | { kind: "unparsed"; text: string; reason: string };
  end: number;
}

/**
 * Reads whole records from `offset` on: at most about `maxBytes`, but always one whole record if there is one.
 * Synchronous inside: what a runner has just written is in memory, and four trips through the thread pool took ten times as long.
 * A file that does not exist reads as empty. `end` is the offset to go on from.
 */
export async function readSpool(path: string, offset: number, maxBytes: number): Promise<{ records: SpoolEntry[]; end: number }> {
  const file = opened(path);
  if (file === null) return { records: [], end: offset };
  try {
    for (let size = Math.max(1, maxBytes); ; size *= 2) {
      const available = Math.min(size, fstatSync(file).size - offset);
      if (available <= 0) return { records: [], end: offset };
      const buffer = Buffer.allocUnsafe(available);
      const bytesRead = readSync(file, buffer, 0, available, offset);
      const bytes = buffer.subarray(0, bytesRead);
      const records = entries(bytes, offset);
      // No newline yet: a record larger than what was asked for, or one that is still being written.
      if (records.length > 0 || bytesRead < size) return { records, end: records.at(-1)?.end ?? offset };
    }
  } finally {
    closeSync(file);
  }
}

function opened(path: string): number | null {
  try {
    return openSync(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

function entries(bytes: Buffer, offset: number): SpoolEntry[] {
  const found: SpoolEntry[] = [];
  let start = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, start)) {
    found.push({ record: parse(bytes.toString("utf8", start, at)), end: offset + at + 1 });
    start = at + 1;
  }
  return found;
}

function parse(text: string): SpoolEntry["record"] {
  const unparsed = (reason: string): SpoolEntry["record"] => ({ kind: "unparsed", text: text.slice(0, 4_096), reason });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return unparsed("not JSON");
  }
  const kind = typeof value === "object" && value !== null ? (value as { kind?: unknown }).kind : undefined;
  return kind === "event" || kind === "delta" || kind === "mark" ? (value as SpoolRecord) : unparsed("no record");
}
