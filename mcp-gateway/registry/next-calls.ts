import type { Answer } from "./action.ts";

type Next = NonNullable<Answer["next"]>[number];
const tool = "pm_session";

/** For a session that was made, or woken, without a turn. */
export const askForTurn = (sessionUlid: unknown): Next => ({ tool, args: { action: "run", sessionUlid }, why: "ask for its first turn" });

/** For an answer that asked for a turn: until that one has ended, not one before it. None when nothing is under way (a repeat whose session was purged). */
export function waitForTurn(data: Record<string, unknown>): Next[] {
  const { sessionUlid, cursors } = data as { sessionUlid?: string; cursors?: { events: number } };
  if (sessionUlid === undefined || cursors === undefined || data["purgedAt"] !== undefined) return [];
  return [
    {
      tool,
      args: { action: "wait", sessionUlids: [sessionUlid], until: "idle", cursors: { [sessionUlid]: cursors.events }, waitMs: 25_000 },
      why: "until its turn has ended",
    },
  ];
}
