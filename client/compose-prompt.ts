import { createHash } from "node:crypto";
import type { SessionRow, TaskRow } from "../store/rows.ts";
import type { Agent, Capability } from "./agents.ts";

export type PromptMode = "task" | "minimal" | "explicit" | "audit" | "review";
/** A part of a composed prompt: where its text is from and what it was, to the bit. `missing`: it was asked for and there is none. */
export interface PromptSection {
  name: string;
  source: string;
  sha256: string;
  missing?: true;
}
/** What a session's agent is told, and of what it is made; stored with the session. */
export interface ComposedPrompt {
  systemPrompt: string;
  /** "": nothing to do yet */
  firstPrompt: string;
  promptMode: PromptMode;
  sections: PromptSection[];
}
/** What prompts are composed of. */
export interface PromptParts {
  agent: Agent;
  role: string;
  contextRef: string;
  /** works in the repository itself, not in a worktree */
  inRepository: boolean;
  task: TaskRow | null;
  capabilities: Capability[];
  /** the caller's own words: instead of what would be composed */
  prompt?: string | undefined;
  systemPrompt?: string | undefined;
  additionalInstructions?: string | undefined;
  /** the session whose record is to be audited */
  audited: SessionRow | null;
}

interface Part {
  name: string;
  source: string;
  text: string;
}

/** Composes a session's prompts. With a `prompt` of the caller's the system prompt is minimal: who the agent is and where it works. */
export function composePrompt(a: PromptParts): ComposedPrompt {
  const own = a.prompt !== undefined;
  const system = a.systemPrompt === undefined ? generatedSystem(a, own) : [{ name: "systemPrompt", source: "caller", text: a.systemPrompt }];
  if (a.audited) system.push({ name: "session to audit", source: `session:${a.audited.sessionUlid}`, text: auditRecord(a.audited) });
  const first = a.prompt === undefined ? (a.task ? taskParts(a.task, a.additionalInstructions) : []) : [{ name: "prompt", source: "caller", text: a.prompt }];
  const missing = own || a.systemPrompt !== undefined ? [] : a.capabilities.filter((capability) => capability.text === null);
  return {
    systemPrompt: joined(system),
    firstPrompt: joined(first),
    promptMode: a.audited ? "audit" : a.systemPrompt !== undefined ? "explicit" : own ? "minimal" : "task",
    sections: [
      ...[...system, ...first].map(section),
      ...missing.map(({ key }) => ({ ...section({ name: `capability ${key}`, source: "none", text: "" }), missing: true as const })),
    ],
  };
}

function generatedSystem(a: PromptParts, minimal: boolean): Part[] {
  const identity = { name: "identity", source: "built-in", text: identityText(a) };
  if (minimal) return [identity];
  const agent = a.agent.instructions === "" ? [] : [{ name: `agent ${a.agent.handle}`, source: a.agent.source ?? "none", text: a.agent.instructions }];
  const capabilities = a.capabilities.flatMap(({ key, text, source }) =>
    text === null || text === "" ? [] : [{ name: `capability ${key}`, source, text: `## ${key}\n\n${text}` }],
  );
  return [identity, ...agent, ...capabilities];
}

function identityText({ agent, role, contextRef, inRepository }: PromptParts): string {
  const where = inRepository ? "You work in the repository itself: the current directory." : "You work alone in your own git worktree: the current directory.";
  return `You are ${agent.displayName ?? agent.handle}, working as ${role} on ${contextRef}. ${where} Stay inside it. You need not commit; every change you leave in it is kept.`;
}

function taskParts(task: TaskRow, additional: string | undefined): Part[] {
  const source = `task:${task.taskKey}`;
  return [
    { name: "task", source, text: [`# ${task.taskKey}: ${task.title}`, task.description].filter((text) => text.trim() !== "").join("\n\n") },
    { name: "acceptance criteria", source, text: list("Acceptance criteria", task.acceptanceCriteria) },
    { name: "requirements", source, text: list("Requirements", task.requirements) },
    { name: "additional instructions", source: "caller", text: additional ? `## Additional instructions\n\n${additional}` : "" },
    {
      name: "ending",
      source: "built-in",
      text: "Do the work in the current directory. When you are done, say briefly what you changed and how you checked it.",
    },
  ].filter((part) => part.text.trim() !== "");
}

/** What an auditor needs to find the record; what the session said is untrusted and is read, not copied in here. */
function auditRecord(row: SessionRow): string {
  return [
    "## The session to audit",
    `- sessionUlid: ${row.sessionUlid} (${row.name})`,
    `- context: ${row.contextRef}, role ${row.role}, agent ${row.agentHandle}, provider ${row.provider}, preset ${row.launcherConfigKey}`,
    `- started at commit: ${row.headAtStart ?? "not started"}`,
    `- candidate: ${row.candidate ? `commit ${row.candidate.commit}, tree ${row.candidate.tree}` : "none yet"}`,
    `- its record: pm_session_read with action events, prompt and spec and this sessionUlid`,
  ].join("\n");
}

function list(title: string, lines: string[]): string {
  return lines.length === 0 ? "" : `## ${title}\n\n${lines.map((line) => `- ${line}`).join("\n")}`;
}

const joined = (parts: Part[]): string => parts.map((part) => part.text).join("\n\n");
const section = ({ name, source, text }: Part): PromptSection => ({ name, source, sha256: createHash("sha256").update(text).digest("hex") });
