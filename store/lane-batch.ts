import type { LaneBatch } from "./lane.ts";
import { storable } from "./storable.ts";

type LaneRecord = LaneBatch["records"][number]["record"];

/** A batch as the SQL function `lane_append` reads it. Marks leave events where they matter, else only the offset moves. */
export function encodeBatch(batch: LaneBatch): string {
  const events: unknown[] = [];
  const deltas: unknown[] = [];
  for (const { record } of batch.records) {
    if (record.kind === "delta") deltas.push(storable({ turnId: record.turnId, itemId: record.itemId, kind: record.stream, text: record.text }));
    else events.push(...eventsOf(record, batch));
  }
  const end = batch.records.at(-1)?.end ?? batch.start;
  return JSON.stringify({ s: batch.sessionUlid, epoch: batch.epoch, owner: batch.owner, spool: batch.spoolId, start: batch.start, end, events, deltas });
}

function eventsOf(record: Exclude<LaneRecord, { kind: "delta" }>, batch: LaneBatch): unknown[] {
  const place = { ...(batch.turnId === null ? {} : { turnId: batch.turnId }), attempt: batch.attempt };
  if (record.kind === "unparsed") return [{ ...place, type: "line.unparsed", data: storable({ text: record.text, reason: record.reason }) }];
  if (record.kind === "event") {
    const { event } = record;
    // the seq, the key and the session are never the runner's to say
    const { type, data, at, turnId, attempt, itemId, parentItemId, synthetic, rawRef } = event;
    return [storable({ ...(turnId === null ? {} : place), ...defined({ type, data, at, turnId, attempt, itemId, parentItemId, synthetic, rawRef }) })];
  }
  if (record.mark === "prompt.written") {
    return [{ ...place, turnId: record.turnId, type: "input.delivered", data: { inputId: record.inputId }, key: `input.delivered:${record.inputId}` }];
  }
  return [];
}

function defined(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined));
}

/** Two batches that together are this one: the second begins at the first one's end. */
export function halves(batch: LaneBatch): [LaneBatch, LaneBatch] {
  const middle = batch.records.length >> 1;
  const first = batch.records.slice(0, middle);
  return [
    { ...batch, records: first },
    { ...batch, start: first.at(-1)!.end, records: batch.records.slice(middle) },
  ];
}

/** A batch of one record that Postgres refuses, as a line that says so, at the same position. */
export function asUnparsed(batch: LaneBatch, why: string): LaneBatch {
  const [only] = batch.records;
  return {
    ...batch,
    records: [{ end: only!.end, record: { kind: "unparsed", text: JSON.stringify(only!.record).slice(0, 8_192), reason: `The database refused it: ${why}` } }],
  };
}
