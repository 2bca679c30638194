import type { TailRecord } from "./spool-tail.ts";

/** What an agent does while it says that it waits (host/waits.ts). Times of the wall clock: a record says when it was made. */
export interface Work {
  /** its commands that run, by item */
  readonly commands: Set<string>;
  /** since when it is taken to wait */
  waitsSince: number | null;
  /** until when it is taken to work */
  until: number;
  /** it says that it waits, and works */
  unbelieved: boolean;
}

/** Its own call that waits, and what it said before that, may be written down after the wait has begun. */
const lateMs = 2_000;
/** What was seen at work is not taken to wait for so long. */
const lastsMs = 10_000;

export const noWork = (): Work => ({ commands: new Set(), waitsSince: null, until: 0, unbelieved: false });

const signs = new Set(["message.completed", "thought.completed", "tool.started", "command.started", "file.changed"]);

/** Takes a record of the agent's for what it says of its work. */
export function seeWork(work: Work, record: TailRecord): void {
  if (record.kind !== "event") return;
  const { type, itemId = "", at = "" } = record.event;
  if (type === "command.started") work.commands.add(itemId);
  if (type === "command.completed") work.commands.delete(itemId);
  if (!signs.has(type)) return;
  const made = Date.parse(at);
  if (made < work.until || (work.waitsSince !== null && made > work.waitsSince + lateMs)) work.until = made + lastsMs;
}

/** Whether it is seen at work now. */
export const isAtWork = ({ commands, until }: Work): boolean => commands.size > 0 || Date.now() < until;
