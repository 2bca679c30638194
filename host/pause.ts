import type { HostDeps } from "./deps.ts";
import type { HeldTurn } from "./held-turn.ts";

const mostAsked = 200;

/** The agent waits for somebody: its slot goes to another turn, until `resume` for the same. Nothing if it has its answer already. */
export function pause(deps: HostDeps, held: HeldTurn, what: string): void {
  // Readers see a question as soon as we do, and may be faster: nobody would end this wait.
  if (held.answered.has(what)) return;
  held.waiting.add(what);
  giveSlotBack(deps, held);
}

/** A turn that is taken over while its agent waits for an answer to what it asked needs no slot until it has it. */
export async function pauseForAsked(deps: HostDeps, held: HeldTurn): Promise<void> {
  const { sessionUlid, turnId } = held.turn;
  const open = await deps.store.approvals.list({ sessionUlid, state: "open", limit: mostAsked });
  for (const row of open) if (row.turnId === turnId) pause(deps, held, row.approvalId);
}

/** One wait less. Resolves when the turn has its slot again, at once while it waits for something else; rejects with the signal's reason. */
export async function resume(deps: HostDeps, held: HeldTurn, what: string, signal: AbortSignal): Promise<void> {
  held.waiting.delete(what);
  await takeSlot(deps, held, signal);
}

/** Waits for a slot, unless the turn has one, waits for somebody, or is over. One request at a time: two that end together want one slot, not two. */
export async function takeSlot(deps: HostDeps, held: HeldTurn, signal: AbortSignal): Promise<void> {
  while (!held.hasSlot && held.waiting.size === 0 && !held.slotOver) {
    held.takingSlot ??= deps.slots
      .acquire(signal)
      .then(() => {
        held.hasSlot = true;
        // It came too late: somebody else can use it.
        if (held.waiting.size > 0 || held.slotOver) giveSlotBack(deps, held);
      })
      .finally(() => (held.takingSlot = null));
    await held.takingSlot;
  }
}

/** The turn is over and never takes a slot again. */
export function leaveSlot(deps: HostDeps, held: HeldTurn): void {
  held.slotOver = true;
  giveSlotBack(deps, held);
}

function giveSlotBack(deps: HostDeps, held: HeldTurn): void {
  if (!held.hasSlot) return;
  held.hasSlot = false;
  deps.slots.release();
}
