import type { SpoolRecord } from "../contracts/runner-protocol.ts";
import type { Cursor, News } from "./read-lane.ts";
import type { HeadRow } from "./rows.ts";

export interface LaneBatch {
  sessionUlid: string;
  epoch: number;
  owner: string;
  spoolId: string;
  start: number;
  records: { record: SpoolRecord | { kind: "unparsed"; text: string; reason: string }; end: number }[];
  turnId: string | null;
  attempt: number;
}
export type LaneResult = { kind: "applied"; lastSeq: number } | { kind: "retail"; offset: number } | { kind: "fenced" };
export interface AppendLane {
  append(batch: LaneBatch): Promise<LaneResult>;
  idle(): Promise<void>;
}
export interface EventFeed {
  /** waits until `last_seq` > seq or `last_delta` > delta, an abort, or `timeoutMs`; returns the head */
  wait(sessionUlid: string, after: { seq?: number; delta?: number }, timeoutMs: number, signal?: AbortSignal): Promise<HeadRow | null>;
  /** registered at once; `within` ends at the first news of one of them since then (or a poll, or an abort), or after `ms`. `forget` it */
  bell(sessionUlids: string[], signal?: AbortSignal): { within(ms: number): Promise<void>; forget(): void };
  /** what lies behind the cursor, as soon as there is something; empty at `timeoutMs` or an abort */
  next(cursor: Cursor, timeoutMs: number, signal?: AbortSignal): Promise<News>;
  /** calls back on every notification of this channel: a host's inbox, or any session */
  onInbox(hostId: string, listener: () => void): () => void;
  close(): Promise<void>;
}
