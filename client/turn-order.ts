import type { InputRow } from "../store/rows.ts";

/** Inputs that wait, oldest first, in the order in which a session's workflow gives them their turns: what interrupts goes to the front. */
export function inTurnOrder(pending: InputRow[]): InputRow[] {
  const interrupts = pending.filter((input) => input.delivery === "interrupt").toReversed();
  return [...interrupts, ...pending.filter((input) => input.delivery !== "interrupt")];
}
