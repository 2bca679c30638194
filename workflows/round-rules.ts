import type { Candidate } from "../contracts/event.ts";
import type { ChainReason, GateView, TurnEnded, VerdictView } from "../contracts/messages.ts";

/** How a chain ends. `why` is a sentence for people. */
export interface ChainEnd {
  reason: ChainReason;
  why: string;
}

/** The end that a turn's outcome means for the chain; `null`: the turn is good. */
export function endByTurn(who: string, turn: TurnEnded): ChainEnd | null {
  const detail = turn.failure === undefined ? "" : ` (${turn.failure.class}: ${turn.failure.message.slice(0, 300)})`;
  switch (turn.outcome) {
    case "completed":
      return null;
    case "interrupted":
      return { reason: "aborted", why: `The turn of the ${who} was aborted` };
    case "unknown":
      return { reason: "needs_human", why: `Nobody can tell what the turn of the ${who} did${detail}` };
    case "limit":
      return { reason: "failed", why: `The turn of the ${who} reached a limit${detail}` };
    case "failed":
      return { reason: "failed", why: `The turn of the ${who} failed${detail}` };
  }
}

/** The end that a turn means which takes too long. */
export function endByDeadline(who: string, seconds: number): ChainEnd {
  return { reason: "failed", why: `The turn of the ${who} did not end within ${seconds} s` };
}

/** The candidate of an executor's turn that verdicts may bind to; `null`: none, or its tree did not hold still. */
export function stableCandidate(turn: TurnEnded): Candidate | null {
  const candidate = turn.candidate as (Candidate & { stable?: boolean }) | undefined;
  return candidate === undefined || candidate.stable === false ? null : candidate;
}

/** The end that verdicts alone mean; `null`: the gates decide. */
export function endByVerdicts(who: string, verdicts: readonly VerdictView[]): ChainEnd | null {
  return verdicts.some((v) => v.decision === "rejected") ? { reason: "rejected", why: `The ${who} rejected the candidate` } : null;
}

/** True when there is at least one gate and all passed. No gate is no permission. */
export function allPassed(gates: readonly GateView[]): boolean {
  return gates.length > 0 && gates.every((g) => g.passed);
}

/** The end that failed gates mean before another round; `null`: the findings go back to the executor. */
export function endByRounds(round: number, maxRounds: number, gates: readonly GateView[]): ChainEnd | null {
  if (round < maxRounds) return null;
  const failed = gates
    .filter((g) => !g.passed)
    .map((g) => `${g.name}: ${g.why}`)
    .join("; ");
  return { reason: "exhausted", why: `Round ${round} of ${maxRounds} did not pass${failed === "" ? "" : ` (${failed.slice(0, 500)})`}` };
}

/** The end when a new round's tree is the one that was refused; `null`: it differs. */
export function endByProgress(before: Candidate, after: Candidate): ChainEnd | null {
  return before.tree === after.tree ? { reason: "no_progress", why: "The executor left the tree that was refused in the last round" } : null;
}
