import { setTimeout as sleep } from "node:timers/promises";
import type { BatonEvent, Delta } from "../contracts/event.ts";
import { BatonError } from "../contracts/failures.ts";
import type { Deps } from "./deps.ts";
import { findSession } from "./requests.ts";

export interface FollowArgs {
  /** ULID or name */
  sessionUlid: string;
  /** events up to this one are known; default 0: all */
  sinceSeq?: number;
  /** deltas up to this one are known; default 0: all that are kept */
  sinceDelta?: number;
}

/** What came since the last one. `sinceSeq` and `sinceDelta` are the cursors to go on from, in this process or another. */
export interface FollowedNews {
  events: BatonEvent[];
  deltas: Delta[];
  sinceSeq: number;
  sinceDelta: number;
}

const pauseMs = 500;

/**
 * Everything that a session records, as it is committed, in order, without end: until `signal`, or until the caller breaks off.
 * While Postgres is away it waits and goes on at its cursor. Error: NOT_FOUND when there is no such session.
 */
export async function* follow(deps: Deps, args: FollowArgs, signal?: AbortSignal): AsyncGenerator<FollowedNews> {
  const sessionUlid = (await findSession(await deps.getStore(), args.sessionUlid)).sessionUlid;
  let sinceSeq = args.sinceSeq ?? 0;
  let sinceDelta = args.sinceDelta ?? 0;
  while (!signal?.aborted) {
    let news;
    try {
      news = await (await deps.getStore()).feed.next({ sessionUlid, seq: sinceSeq, delta: sinceDelta }, 60_000, signal);
    } catch (error) {
      if (!(error instanceof BatonError) || error.code !== "UNAVAILABLE") throw error;
      await sleep(pauseMs);
      continue;
    }
    if (news.events.length + news.deltas.length === 0) continue;
    sinceSeq = news.events.at(-1)?.seq ?? sinceSeq;
    sinceDelta = news.deltas.at(-1)?.seq ?? sinceDelta;
    yield { ...news, sinceSeq, sinceDelta };
  }
}
