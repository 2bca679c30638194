import type { VerdictRow } from "../store/rows.ts";

export type Decision = "approved" | "changes_requested" | "rejected";
export type Finding = VerdictRow["findings"][number];
export interface ParsedVerdict {
  decision: Decision;
  score: number;
  summary: string;
  findings: Finding[];
}

const decisions: readonly string[] = ["approved", "changes_requested", "rejected"];
const severities: readonly string[] = ["blocker", "high", "medium", "nit"];
const maxFindings = 200;
const maxText = 20_000;

/**
 * The verdict in an agent's final message: the last fenced `json` block of the right shape, `null` when there is
 * none. Strict on purpose: what is not certainly a verdict is asked for again, never guessed.
 */
export function parseVerdict(message: string): ParsedVerdict | null {
  for (const block of jsonBlocks(message).reverse()) {
    const verdict = readVerdict(block);
    if (verdict !== null) return verdict;
  }
  return null;
}

/** The decision that counts: an approval with an open blocker is none. */
export function effectiveDecision(decision: Decision, findings: readonly { severity: string }[]): Decision {
  return decision === "approved" && findings.some((f) => f.severity === "blocker") ? "changes_requested" : decision;
}

// Line by line: one expression for the whole block takes time that grows with the square of what an agent wrote.
function jsonBlocks(message: string): string[] {
  const blocks: string[] = [];
  let open: string[] | null = null;
  for (const line of message.split("\n")) {
    const mark = line.trim().toLowerCase();
    if (mark === "```json") open = [];
    else if (open === null) continue;
    else if (mark === "```") {
      blocks.push(open.join("\n"));
      open = null;
    } else open.push(line);
  }
  return blocks;
}

function readVerdict(block: string): ParsedVerdict | null {
  let value: unknown;
  try {
    value = JSON.parse(block);
  } catch {
    return null;
  }
  if (!isRecord(value)) return null;
  const { decision, score, summary, findings } = value;
  if (typeof decision !== "string" || !decisions.includes(decision)) return null;
  if (typeof score !== "number" || !Number.isInteger(score) || score < 0 || score > 100) return null;
  if (typeof summary !== "string" || summary.length > maxText) return null;
  if (!Array.isArray(findings) || findings.length > maxFindings) return null;
  const read = findings.map(readFinding);
  if (read.includes(null)) return null;
  return { decision: decision as Decision, score, summary, findings: read as Finding[] };
}

function readFinding(value: unknown): Finding | null {
  if (!isRecord(value)) return null;
  const { severity, title, path, line } = value;
  if (typeof severity !== "string" || !severities.includes(severity)) return null;
  if (typeof title !== "string" || title.trim() === "" || title.length > maxText) return null;
  // Agents write null for "nowhere in particular".
  if (path !== undefined && path !== null && typeof path !== "string") return null;
  if (line !== undefined && line !== null && (typeof line !== "number" || !Number.isInteger(line) || line < 1)) return null;
  return { severity, title, ...(typeof path === "string" && { path }), ...(typeof line === "number" && { line }) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
