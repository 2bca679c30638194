import type { GateView } from "../contracts/messages.ts";
import type { VerdictRow } from "../store/rows.ts";
import type { ChainConfig } from "../contracts/chain-config.ts";
import { effectiveDecision } from "./parse-verdict.ts";

/** All gates of a stage on one tree. Verdicts on any other tree, or of an earlier round, do not count. */
export function evaluate(config: ChainConfig, verdicts: readonly VerdictRow[], a: { round: number; tree: string; stage: "review" | "final" }): GateView[] {
  const bound = latestPerSession(verdicts.filter((v) => v.round === a.round && v.tree === a.tree));
  const review = reviewGates(
    config,
    bound.filter((v) => v.role === "reviewer"),
  );
  if (a.stage === "review" || config.gates.audit === null) return review;
  return [
    ...review,
    auditGate(
      config.gates.audit.minScore,
      bound.find((v) => v.role === "auditor"),
    ),
  ];
}

function reviewGates({ gates: { reviews } }: ChainConfig, verdicts: readonly VerdictRow[]): GateView[] {
  const approvals = verdicts.filter((v) => effectiveDecision(v.decision, v.findings) === "approved").length;
  const blockers = verdicts.flatMap((v) => v.findings).filter((f) => f.severity === "blocker").length;
  const lowest = verdicts.length === 0 ? null : Math.min(...verdicts.map((v) => v.score));
  return [
    gate("reviews.quorum", approvals >= reviews.quorum, `${approvals} of ${reviews.quorum} approvals`),
    gate(
      "reviews.score",
      reviews.quorum === 0 || (lowest !== null && lowest >= reviews.minScore),
      lowest === null ? "no score" : `lowest score ${lowest}, needed ${reviews.minScore}`,
    ),
    gate("reviews.blockers", blockers === 0, `${blockers} open blockers`),
  ];
}

function auditGate(minScore: number, verdict: VerdictRow | undefined): GateView {
  if (verdict === undefined) return gate("audit", false, "no verdict of the auditor on this tree");
  const decision = effectiveDecision(verdict.decision, verdict.findings);
  return gate("audit", decision === "approved" && verdict.score >= minScore, `${decision}, score ${verdict.score}, needed ${minScore}`);
}

// A repaired verdict replaces the one before; `verdicts` are in the order in which they were given.
function latestPerSession(verdicts: readonly VerdictRow[]): VerdictRow[] {
  return [...new Map(verdicts.map((v) => [v.sessionUlid, v])).values()];
}

function gate(name: string, passed: boolean, why: string): GateView {
  return { name, passed, why };
}
