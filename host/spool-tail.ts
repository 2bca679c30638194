import { runnerDirectory, spoolPath } from "./runner-paths.ts";
import { readSpool } from "../runner/spool-reader.ts";
import type { LaneBatch } from "../store/lane.ts";
import { Fenced, type HostDeps } from "./deps.ts";

const readBytes = 1_048_576;

export type TailRecord = LaneBatch["records"][number]["record"];
export interface TailFence {
  sessionUlid: string;
  epoch: number;
  turnId: string | null;
  attempt: number;
}

/**
 * Moves whole records from one spool to the lane, from `offset` on. The committed offset decides: a batch whose reply
 * was lost is found applied, a batch at the wrong offset is read again from the head's.
 */
export interface SpoolTail {
  /** Appends what is there now; the records appended, in order, without the `stopAt` record, which is not passed. Throws Fenced. */
  advance(stopAt?: (record: TailRecord) => boolean): Promise<{ records: TailRecord[]; stopped: TailRecord | null }>;
  readonly offset: number;
}

export function spoolTail(deps: HostDeps, fence: TailFence, spoolId: string, from: number): SpoolTail {
  const path = spoolPath(runnerDirectory(deps.config, fence.sessionUlid), spoolId);
  let offset = from;
  return {
    get offset() {
      return offset;
    },
    async advance(stopAt) {
      const read = await readSpool(path, offset, readBytes);
      const at = stopAt ? read.records.findIndex(({ record }) => stopAt(record)) : -1;
      const records = at < 0 ? read.records : read.records.slice(0, at);
      const stopped = at < 0 ? null : (read.records[at]?.record ?? null);
      if (records.length === 0) return { records: [], stopped };
      await deps.stopPoint("lane.before");
      const result = await deps.store.lane.append({
        sessionUlid: fence.sessionUlid,
        epoch: fence.epoch,
        owner: deps.owner,
        spoolId,
        start: offset,
        records,
        turnId: fence.turnId,
        attempt: fence.attempt,
      });
      await deps.stopPoint("lane.after");
      if (result.kind === "fenced") throw new Fenced("lane");
      if (result.kind === "retail") {
        offset = result.offset;
        return { records: [], stopped: null };
      }
      offset = records.at(-1)?.end ?? offset;
      return { records: records.map(({ record }) => record), stopped };
    },
  };
}
