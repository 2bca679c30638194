import type { TaskRow } from "../store/rows.ts";

/** The system prompt of a session that got its own prompt: who it is and where it works, nothing about the task. */
export function minimalSystemPrompt(a: { agentHandle: string; role: string; contextRef: string }): string {
  return `You are ${a.agentHandle}, working as ${a.role} on ${a.contextRef}. You work alone in your own git worktree: the current directory. Stay inside it. You need not commit; every change you leave in it is kept.`;
}

/** The first prompt built from a task. */
export function taskPrompt(task: TaskRow, additional: string | undefined): string {
  const parts = [
    `# ${task.taskKey}: ${task.title}`,
    task.description,
    list("Acceptance criteria", task.acceptanceCriteria),
    list("Requirements", task.requirements),
    additional ? `## Additional instructions\n\n${additional}` : "",
    "Do the work in the current directory. When you are done, say briefly what you changed and how you checked it.",
  ];
  return parts.filter((part) => part.trim() !== "").join("\n\n");
}

function list(title: string, lines: string[]): string {
  return lines.length === 0 ? "" : `## ${title}\n\n${lines.map((line) => `- ${line}`).join("\n")}`;
}
