import { nearest } from "../contracts/did-you-mean.ts";
import { eventTypes } from "../contracts/event-types.ts";
import { BatonError } from "../contracts/failures.ts";
import type { PagedEvent } from "../store/event-pages.ts";
import type { Store } from "../store/store.ts";
import { defaultBytes, fitting, mostBytes, sizeOf } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { chainOf, findSession, isUlid, noSession } from "./requests.ts";
import { asMarkdown } from "./transcript.ts";

export interface EventsArgs {
  sessionUlid: string;
  sinceSeq?: number;
  limit?: number;
  types?: string[];
  turnId?: string;
  tail?: number;
  textMaxLength?: number;
  waitMs?: number;
  maxBytes?: number;
  format?: "json" | "transcript";
}

/** A long poll ends before the 60 s at which common clients give up. Milliseconds. */
export const longestWaitMs = 25_000;

/** As JSON, bytes. */
const smallestEvent = 120;
const largestEvent = 4_194_304;

type EventPage = NonNullable<Awaited<ReturnType<Store["pages"]["read"]>>>;

/** Events after a cursor; waits for the first one if asked to. With nothing but the session: all of them, or the first 20 and the newest with the gap between. */
export async function events(deps: Deps, args: EventsArgs, signal?: AbortSignal): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  checkTypes(args.types ?? []);
  const { sessionUlid: _, ...more } = args;
  if (Object.values(more).every((value) => value === undefined)) return everything(store, args.sessionUlid);
  const since = args.sinceSeq ?? 0;
  const limit = Math.min(args.limit ?? 1_000, 1_000);
  // One text alone may be larger than the whole answer may be.
  const budget = Math.min(args.maxBytes ?? defaultBytes, mostBytes);
  const read = () =>
    page(store, args.sessionUlid, {
      sinceSeq: since,
      // More would not fit: do not make Postgres read them.
      limit: Math.min(args.tail ?? limit, limit, Math.ceil(budget / smallestEvent) + 1),
      most: budget,
      // One event alone may be asked for whole: it is what a cut one's `resource` shows.
      textMost: Math.min(args.textMaxLength ?? Math.max(1_000, budget >> 1), limit === 1 ? largestEvent : mostBytes),
      newest: args.tail !== undefined,
      ...(args.types ? { types: args.types } : {}),
      ...(args.turnId ? { turnId: args.turnId } : {}),
    });
  let found = await read();
  if (args.turnId !== undefined && found.events.length === 0) await mustHaveTurn(store, found.sessionUlid, args.turnId);
  if (args.waitMs && found.events.length === 0 && !found.closed) found = await waitFor(deps, store, found, Math.min(args.waitMs, longestWaitMs), read, signal);
  // The newest are asked for: of those that do not fit the older ones are left out.
  const all = args.tail === undefined ? found.events : found.events.toReversed();
  const shown = fitting(all.map(withResource), budget);
  const kept = args.tail === undefined ? shown.kept : shown.kept.toReversed();
  const nextSeq = kept.at(-1)?.seq ?? since;
  const body = args.format === "transcript" ? { transcript: await transcript(store, kept, budget) } : { events: kept };
  return { ...body, nextSeq, ...ending(found, nextSeq), ...(shown.truncated ? { truncated: true } : {}) };
}

/** Error: INVALID_ARGUMENT with the types there are. */
function checkTypes(types: readonly string[]): void {
  const unknown = types.find((type) => !(eventTypes as readonly string[]).includes(type));
  if (unknown === undefined) return;
  const close = nearest(unknown, [...eventTypes]);
  throw new BatonError("INVALID_ARGUMENT", `There are no events of type "${unknown}"${close ? `: did you mean "${close}"?` : "."}`, {
    field: "types",
    allowed: eventTypes,
  });
}

/** A turn has the id of its input, and is one as soon as a host takes it. Error: NOT_FOUND. */
async function mustHaveTurn(store: Store, sessionUlid: string, turnId: string): Promise<void> {
  if ((await store.turns.get(sessionUlid, turnId)) || (await store.inputs.get(turnId))?.sessionUlid === sessionUlid) return;
  throw new BatonError("NOT_FOUND", `Session ${sessionUlid} has no turn "${turnId}".`, {
    field: "turnId",
    next: [{ tool: "pm_session", args: { action: "get", sessionUlid }, why: "its newest turns" }],
  });
}

/** One event with all of its text (at most 1 MB): what a cut one's `resource` leads to. */
export async function wholeEvent(deps: Deps, args: { sessionUlid: string; seq: number }): Promise<PagedEvent | null> {
  const found = await page(await deps.getStore(), args.sessionUlid, { sinceSeq: args.seq - 1, limit: 1, textMost: largestEvent, most: 1 });
  return found.events[0]?.seq === args.seq ? found.events[0] : null;
}

async function page(store: Store, reference: string, a: Parameters<Store["pages"]["read"]>[1]): Promise<EventPage> {
  const found = await store.pages.read(isUlid(reference) ? { sessionUlid: reference.toUpperCase() } : { name: reference }, a);
  if (!found) {
    // A chain's own events are in its executor's log.
    const chain = await chainOf(store, reference);
    if (chain) return page(store, chain.executorUlid, a);
    throw noSession(reference);
  }
  if (found.purged) await findSession(store, found.sessionUlid);
  return found;
}

/** Reads again at each news, until one of those asked for is there. */
async function waitFor(deps: Deps, store: Store, first: EventPage, ms: number, read: () => Promise<EventPage>, signal?: AbortSignal): Promise<EventPage> {
  const deadline = performance.now() + ms;
  for (let found = first; ; found = await read()) {
    const left = deadline - performance.now();
    if (found.events.length > 0 || found.closed || left <= 0 || signal?.aborted) return found;
    await store.feed.wait(found.sessionUlid, { seq: found.lastSeq }, left, signal);
  }
}

/** `done`: the session is closed and the reader has all that was asked for; the log may end with events that were not. */
const ending = (found: EventPage, nextSeq: number): { lastSeq: number; done: boolean } => ({
  lastSeq: found.lastSeq,
  done: found.closed && (found.events.length === 0 || nextSeq >= found.lastSeq),
});

/** An event whose text was cut says so, and where the whole is. */
function withResource(event: PagedEvent): PagedEvent & Record<string, unknown> {
  const shown = event as PagedEvent & Record<string, unknown>;
  if (event.bytes === undefined) return shown;
  return Object.assign(shown, { truncated: true, resource: `session://${event.sessionUlid}/transcript/${event.seq}` });
}

async function everything(store: Store, reference: string): Promise<Record<string, unknown>> {
  const newest = await page(store, reference, { sinceSeq: 0, limit: 2_000, textMost: 2_000, most: mostBytes, newest: true });
  const whole = newest.events.length === newest.lastSeq;
  const bytes = newest.events.reduce((sum, event) => sum + (event.bytes ?? 0), 0);
  if (whole && bytes + sizeOf(newest.events) <= mostBytes) {
    const { events: all, ...end } = bytes === 0 ? newest : await page(store, reference, { sinceSeq: 0, limit: 2_000, textMost: mostBytes, most: mostBytes });
    const nextSeq = all.at(-1)?.seq ?? 0;
    return { events: all.map(withResource), nextSeq, ...ending({ events: all, ...end }, nextSeq) };
  }
  const first = (await page(store, reference, { sinceSeq: 0, limit: 20, textMost: 1_000, most: mostBytes })).events.map(withResource);
  const after = first.at(-1)?.seq ?? 0;
  const last = newest.events.filter((event) => event.seq > after).map(withResource);
  const kept = fitting(last.toReversed(), mostBytes - sizeOf(first) - 2_000).kept.toReversed();
  const from = kept[0]?.seq ?? after + 1;
  const nextSeq = kept.at(-1)?.seq ?? after;
  return {
    events: [...first, ...kept],
    nextSeq,
    ...ending(newest, nextSeq),
    ...(from > after + 1 ? { gap: { fromSeq: after + 1, toSeq: from - 1 } } : {}),
  };
}

/** With what the agent was told: events hold its answers, the inputs' rows the prompts. */
async function transcript(store: Store, kept: (Record<string, unknown> & { seq: number })[], budget: number): Promise<string> {
  const asked = kept.filter((event) => event["type"] === "turn.queued").map((event) => String((event["data"] as { inputId: string }).inputId));
  const prompts = asked.length === 0 ? new Map<string, string>() : await store.pages.prompts(asked, Math.max(500, Math.floor(budget / 4 / asked.length)));
  return kept
    .map((event) => asMarkdown(event, prompts))
    .filter(Boolean)
    .join("\n\n");
}
