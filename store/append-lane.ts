import { setTimeout as sleep } from "node:timers/promises";
import type pg from "pg";
import { BatonError } from "../contracts/failures.ts";
import { type Database, prepared } from "./database.ts";
import { isConnectionTrouble, isContention } from "./database-errors.ts";
import { asUnparsed, encodeBatch, halves } from "./lane-batch.ts";
import type { AppendLane, LaneBatch, LaneResult } from "./lane.ts";
import type { HeadRow } from "./rows.ts";

interface Queued {
  batch: LaneBatch;
  encoded: string;
  resolve: (result: LaneResult) => void;
  reject: (error: unknown) => void;
}

const flushBytes = 4 * 1_024 * 1_024;
/** A connection without an answer for so long is given up, all sessions wait for it. Early is harmless: a repeat waits for the lock, then the offset tells. */
const silenceMs = 6_000;

/**
 * The one queue through which this process appends what its runners produce. No timer: what is queued goes the moment the
 * previous commit returns, in one statement. With Postgres away it repeats until `close`; the offset decides what was applied.
 */
export function openLane(db: Database): AppendLane & { close(): void } {
  const queue: Queued[] = [];
  let running: Promise<void> | null = null;
  let closed = false;

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const flush = take(queue);
      try {
        await appendAll(flush);
      } catch (error) {
        for (const queued of flush) queued.reject(error);
      }
    }
    running = null;
  }

  async function appendAll(flush: Queued[]): Promise<void> {
    try {
      const results = await write(flush);
      results.forEach((result, i) => flush[i]!.resolve(result));
    } catch (error) {
      if (error instanceof BatonError) throw error;
      // Somebody's record is poison: each batch by itself, so that the others do not suffer.
      for (const queued of flush) queued.resolve(await appendOne(queued.batch, queued.encoded));
    }
  }

  async function appendOne(batch: LaneBatch, encoded = encodeBatch(batch)): Promise<LaneResult> {
    try {
      return (await write([{ batch, encoded }]))[0]!;
    } catch (error) {
      if (error instanceof BatonError) throw error;
      if (batch.records.length > 1) {
        const [first, second] = halves(batch);
        const result = await appendOne(first);
        return result.kind === "applied" ? appendOne(second) : result;
      }
      if (batch.records[0]?.record.kind === "unparsed") throw error; // not the record's fault
      return appendOne(asUnparsed(batch, (error as Error).message));
    }
  }

  /** One statement; repeated while the connection or the locks fail. Any other error of Postgres is thrown as it is. */
  async function write(flush: Pick<Queued, "batch" | "encoded">[]): Promise<LaneResult[]> {
    const list = `[${flush.map((queued) => queued.encoded).join(",")}]`;
    for (let attempt = 0; ; attempt += 1) {
      if (closed) throw new BatonError("UNAVAILABLE", "The store is closed.", { applied: "unknown" });
      try {
        const taken = (
          await db.pool.query<{ index: number; last_seq: number }>({
            ...prepared("select index, last_seq from lane_append($1, $2::jsonb)", [db.channel, list]),
            query_timeout: silenceMs,
          } as pg.QueryConfig)
        ).rows;
        const seqs = new Map(taken.map((row) => [row.index, row.last_seq]));
        return await Promise.all(
          flush.map(async ({ batch }, i) =>
            seqs.has(i) ? { kind: "applied" as const, lastSeq: seqs.get(i)! } : refusal(await head(batch.sessionUlid), batch),
          ),
        );
      } catch (error) {
        if (!isConnectionTrouble(error) && !isContention(error)) throw error;
        await sleep(Math.min(2_000, 25 * 2 ** Math.min(attempt, 8)) * (0.5 + Math.random() / 2), undefined, { ref: false });
      }
    }
  }

  async function head(sessionUlid: string): Promise<HeadRow | null> {
    return (
      (
        await db.pool.query<HeadRow>(
          `select last_seq as "lastSeq", epoch, owner, spool_id as "spoolId", spool_offset as "spoolOffset" from head where session_ulid = $1`,
          [sessionUlid],
        )
      ).rows[0] ?? null
    );
  }

  return {
    append: (batch) =>
      new Promise<LaneResult>((resolve, reject) => {
        queue.push({ batch, encoded: encodeBatch(batch), resolve, reject });
        running ??= drain();
      }),
    async idle() {
      while (running) await running;
    },
    close() {
      closed = true;
    },
  };
}

/** What a batch that was not taken means: its reply was lost, the tail is elsewhere, or another claim owns the session. */
function refusal(head: HeadRow | null, batch: LaneBatch): LaneResult {
  if (!head || head.epoch !== batch.epoch || head.owner !== batch.owner) return { kind: "fenced" };
  // our own claim moved to another spool: this one was drained
  if (head.spoolId !== batch.spoolId) return { kind: "fenced" };
  const end = batch.records.at(-1)?.end ?? batch.start;
  return head.spoolOffset === end ? { kind: "applied", lastSeq: head.lastSeq } : { kind: "retail", offset: head.spoolOffset };
}

/** The longest prefix of the queue below the flush's size, at least one. */
function take(queue: Queued[]): Queued[] {
  let count = 0;
  for (let size = 0; count < queue.length && count < 500; count += 1) {
    size += queue[count]!.encoded.length;
    if (count > 0 && size > flushBytes) break;
  }
  return queue.splice(0, count);
}
