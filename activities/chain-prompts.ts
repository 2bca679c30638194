import type { Candidate } from "../contracts/event.ts";
import type { GateView } from "../contracts/messages.ts";
import type { TaskRow, VerdictRow } from "../store/rows.ts";

/** What a prompt is made of; all from rows. */
export interface PromptFacts {
  task: TaskRow | null;
  taskKey: string;
  round: number;
  maxRounds: number;
  candidate: Candidate | null;
  verdicts: readonly VerdictRow[];
  gates: readonly GateView[];
}

/** The prompt of a reviewer for one candidate. */
export function reviewPrompt(facts: PromptFacts): string {
  return join([
    `You review a candidate for task ${facts.taskKey}. Round ${facts.round} of ${facts.maxRounds}.`,
    theTask(facts.task),
    theCandidate(facts.candidate),
    earlier(facts),
    "Your worktree is at the candidate. Read and run what you need; do not change files.",
    verdictRequest(),
  ]);
}

/** The prompt of the auditor: the whole record, not only the tree. */
export function auditPrompt(facts: PromptFacts): string {
  return join([
    `You audit the work on task ${facts.taskKey}: the candidate and how it was reviewed. Round ${facts.round} of ${facts.maxRounds}.`,
    theTask(facts.task),
    theCandidate(facts.candidate),
    section("Verdicts of the reviewers", facts.verdicts.filter((v) => v.role === "reviewer").map(verdictLine)),
    section(
      "Gates",
      facts.gates.map((g) => `- ${g.name}: ${g.passed ? "passed" : "failed"} (${g.why})`),
    ),
    "Judge whether the candidate meets every acceptance criterion and whether the reviews support that. Do not change files.",
    verdictRequest(),
  ]);
}

/** What goes back to the executor when a candidate did not pass. */
export function findingsPrompt(facts: PromptFacts): string {
  const current = facts.verdicts.filter((v) => v.round === facts.round);
  const findings = current.flatMap((v) => v.findings.map((f) => ({ from: v.role, ...f })));
  return join([
    `The candidate of round ${facts.round} (of ${facts.maxRounds}) for task ${facts.taskKey} was not accepted.`,
    section(
      "Gates",
      facts.gates.filter((g) => !g.passed).map((g) => `- ${g.name}: ${g.why}`),
    ),
    section("Verdicts", current.map(verdictLine)),
    `## Findings\n\n${findings.length === 0 ? "None was listed. The tree may have changed after it was reviewed: make sure that it is what you want reviewed." : fenced(findings)}`,
    "Resolve the findings in your worktree, blockers first. Say for each what you did. Leave the tree complete at the end of this turn.",
  ]);
}

/** Asked once when a final message held no verdict. */
export function repairPrompt(facts: PromptFacts): string {
  return join([
    `Your last message held no verdict that can be read. Do not repeat the review of round ${facts.round}; only state its result.`,
    verdictRequest(),
  ]);
}

/** After a turn that somebody stopped: the agent may have heard all of it, or nothing. */
export function againPrompt(prompt: string): string {
  const lead = "Your turn was stopped before its end. What you were asked stands: go on with it. It was:";
  // Stopped again: once is enough.
  return prompt.startsWith(lead) ? prompt : join([lead, prompt]);
}

function verdictRequest(): string {
  const example = {
    decision: "approved | changes_requested | rejected",
    score: 85,
    summary: "one or two sentences",
    findings: [{ severity: "blocker | high | medium | nit", title: "what is wrong", path: "src/file", line: 12 }],
  };
  return join([
    "## Your answer",
    "End your final message with exactly one fenced json block of this shape. `score` is a whole number from 0 to 100, `findings` may be empty, `path` and `line` may be left out. An open blocker means that the candidate is not approved.",
    fenced(example),
  ]);
}

function theTask(task: TaskRow | null): string {
  if (task === null) return "";
  return join([
    `## Task: ${task.title}`,
    task.description,
    section("Acceptance criteria", numbered(task.acceptanceCriteria)),
    section("Requirements", numbered(task.requirements)),
  ]);
}

function theCandidate(candidate: Candidate | null): string {
  if (candidate === null) return "";
  return `## Candidate\n\n- commit \`${candidate.commit}\`, tree \`${candidate.tree}\`\n- base \`${candidate.base}\`: \`git diff ${candidate.base} ${candidate.commit}\`\n- ${candidate.files} files changed\n\n${fence("text", candidate.diffStat.slice(0, 8_000))}`;
}

function earlier(facts: PromptFacts): string {
  return section(
    "Earlier rounds",
    facts.verdicts.filter((v) => v.round < facts.round).map((v) => `- round ${v.round}: ${verdictLine(v).slice(2)}`),
  );
}

function verdictLine(v: VerdictRow): string {
  return `- ${v.role}: ${v.decision}, score ${v.score}. ${oneLine(v.summary)}`;
}
function numbered(lines: readonly string[]): string[] {
  return lines.map((line, i) => `${i + 1}. ${line}`);
}
function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `## ${title}\n\n${lines.join("\n")}`;
}
function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").slice(0, 1_000);
}
function fenced(value: unknown): string {
  return fence("json", JSON.stringify(value, null, 2));
}
function join(parts: readonly string[]): string {
  return parts.filter((p) => p !== "").join("\n\n");
}

// What agents wrote may hold fences of its own; a longer one cannot be closed by it.
function fence(language: string, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map((m) => m[0].length));
  const marks = "`".repeat(longest + 1);
  return `${marks}${language}\n${text}\n${marks}`;
}
