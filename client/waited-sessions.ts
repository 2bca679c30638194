import { type Attention, sessionAttention, type SessionState, sessionState } from "../contracts/session-status.ts";
import type { FactsRow } from "../store/rows.ts";
import { isUlid } from "./requests.ts";
import { withFacts } from "./session-view.ts";
import type { WaitArgs } from "./wait.ts";

/** What was so when a call began, filled by its first look: a close, or an entry of attention, that is in it is no news to who has a cursor. */
export interface Begun {
  marks?: ReadonlySet<string>;
}

/** A session as one look finds it. */
export interface Seen {
  row: FactsRow;
  state: SessionState;
  /** closed or failed */
  over: boolean;
  /** its chain, which is not done, has closed it */
  held: boolean;
  idle: boolean;
  attention: Attention[];
}
export interface Judged extends Seen {
  met: boolean;
  /** an entry of attention counts */
  asks: boolean;
}

/** `held`: its chain has closed it and is not done. */
export function see(row: FactsRow, held: boolean): Seen {
  const { facts, pending } = withFacts(row);
  const { state } = sessionState(facts);
  const over = !held && (state === "closed" || state === "failed");
  return { row, state, over, held, idle: state === "idle" && pending.length === 0, attention: sessionAttention(row.sessionUlid, facts) };
}

const overMark = ({ row }: Seen): string => `${row.sessionUlid} over`;
const attentionMark = ({ row }: Seen, { kind, approvalId }: Attention): string => `${row.sessionUlid} ${kind} ${approvalId ?? ""}`;
/** What is to be known of a session as a call begins. */
export const marksOf = (seen: Seen): string[] => [...(seen.over ? [overMark(seen)] : []), ...seen.attention.map((one) => attentionMark(seen, one))];

/** Which of them are where the caller wants them. `named`: it named the sessions, and not a task, a tree or a chain that has them. */
export function judged(args: WaitArgs, all: Seen[], before: ReadonlySet<string>, named: boolean): Judged[] {
  const until = args.until ?? "attention";
  const cursors = new Map(
    Object.entries(args.cursors ?? {}).map(([reference, cursor]) => [
      isUlid(reference) ? reference.toUpperCase() : reference,
      typeof cursor === "number" ? cursor : cursor.events,
    ]),
  );
  const cursorOf = ({ row }: Seen) => cursors.get(row.sessionUlid) ?? cursors.get(row.name);
  const newestKnown = all
    .flatMap((one) => (cursorOf(one) === undefined ? [] : one.row.sessionUlid))
    .toSorted()
    .at(-1);
  const asksIn = (one: Seen): boolean => {
    const after = cursorOf(one);
    return one.attention.some((entry) => after === undefined || entry.seq > after || !before.has(attentionMark(one, entry)));
  };
  const isMetBy = (one: Seen, asks: boolean): boolean => {
    const after = cursorOf(one);
    const { row, over, held, idle } = one;
    if (held) return false;
    if (over) {
      // Where nothing is open, nothing more comes, and whoever waits is to hear so, whatever its cursors are.
      if ((named && after === undefined) || all.every((other) => other.over)) return true;
      if (!before.has(overMark(one))) return true;
      if (after !== undefined) return row.lastSeq > after;
      // With cursors, one that is newer than those is one the caller has not heard of.
      return newestKnown !== undefined && row.sessionUlid > newestKnown;
    }
    // Without a cursor everything counts, and a session without a turn is idle, too.
    const ended = row.endedSeq !== null && row.endedSeq > (after ?? 0);
    const rests = idle && (ended || after === undefined);
    return (until === "idle" && rests) || (until === "turn" && ended) || (until === "attention" && (asks || rests));
  };
  return all.map((one) => {
    const asks = asksIn(one);
    return { ...one, asks, met: isMetBy(one, asks) };
  });
}
