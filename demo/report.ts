import type { DemoResult } from "./run-demo.ts";
import { oneLine, printable } from "./timeline.ts";

/** The end of the demo for a reader: diff, verdicts, gates, cost, and one sentence. */
export function report(result: DemoResult): string {
  const lines: string[] = [];
  const section = (title: string, body: string[]): void => {
    lines.push("", title, ...body.map((line) => `  ${line}`));
  };
  if (result.candidate) section(`Diff (${result.candidate.diffStat})`, printable(result.diff).split("\n"));
  section("Verdicts", result.verdicts.filter((v) => v.role !== "auditor").map(verdictLine));
  section("Audit", result.verdicts.filter((v) => v.role === "auditor").map(verdictLine));
  if (result.gates.length > 0)
    section(
      "Gates",
      result.gates.map((g) => `${g.state ?? (g.passed ? "passed" : "failed")}: ${oneLine(`${g.name}${g.why ? `, ${g.why}` : ""}`, 150)}`),
    );
  section("Check (node check.mjs in a fresh checkout)", [
    `before: ${result.check.before ? "passed" : "failed"}`,
    `after: ${result.check.after ? "passed" : "failed"}`,
  ]);
  const { inputTokens = 0, outputTokens = 0, costMicros = 0 } = result.usage;
  section("Cost", [
    `$${(costMicros / 1_000_000).toFixed(4)}, ${inputTokens} tokens in, ${outputTokens} out (the demo's agents are scripted: no model was called)`,
  ]);
  lines.push("", conclusion(result));
  return lines.join("\n");
}

/** What happened, in one sentence. */
export function conclusion(result: DemoResult): string {
  const time = `${(result.elapsedMs / 1000).toFixed(1)} s`;
  if (result.ok) return `Approved after ${result.rounds} rounds in ${time}; the check passes on the candidate.`;
  if (result.reason !== "approved") return `The demo failed: the chain ended with "${result.reason ?? "no reason"}" after ${time}.`;
  return `The demo failed: the chain approved a candidate on which the check does not pass: ${oneLine(result.check.output, 300)}`;
}

const verdictLine = (v: DemoResult["verdicts"][number]): string =>
  `${v.role}: ${v.decision}, score ${v.score}, ${v.findings} ${v.findings === 1 ? "finding" : "findings"}: ${oneLine(v.summary, 150)}`;
