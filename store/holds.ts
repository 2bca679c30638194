import type { HeadRow } from "./rows.ts";

/** Is the head still this claim's? */
export function holds(head: HeadRow | null, claim: { epoch: number; owner: string }): boolean {
  return head !== null && head.epoch === claim.epoch && head.owner === claim.owner;
}
