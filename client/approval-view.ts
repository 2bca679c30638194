import type { ApprovalRow } from "../store/rows.ts";

interface Question {
  id: string;
  text: string;
  options: { id: string; label: string }[];
  freeText: boolean;
  multi: boolean;
}

/** What somebody is asked, as every read shows it. Without a deadline it waits for ever. */
export function approvalView(row: ApprovalRow): Record<string, unknown> {
  const { approvalId, sessionUlid, chainId, turnId, kind, title, options, askedAt, state } = row;
  const detail = isRecord(row.detail) ? row.detail : {};
  const deadline = typeof detail["deadline"] === "string" ? detail["deadline"] : null;
  const onDeadline = typeof detail["onDeadline"] === "string" ? detail["onDeadline"] : "wait";
  const answer =
    row.decision === null ? {} : { answer: { decision: row.decision, by: row.answeredBy, actor: row.actor, at: row.answeredAt, reason: row.reason } };
  return {
    approvalId,
    sessionUlid,
    chainId,
    turnId,
    kind,
    title,
    detail: row.detail,
    why: detail["why"] ?? null,
    options,
    questions: questionsOf(row, detail),
    askedAt,
    ...(deadline ? { deadline } : {}),
    onDeadline,
    state,
    ...answer,
  };
}

/** A question asked in one piece is one question, whose answer may be any text. */
function questionsOf(row: ApprovalRow, detail: Record<string, unknown>): Question[] {
  if (row.kind !== "question" && row.kind !== "plan") return [];
  const asked = Array.isArray(detail["questions"]) ? detail["questions"].filter(isRecord) : [];
  if (asked.length === 0) return [{ id: "answer", text: row.title, options: row.options, freeText: true, multi: false }];
  return asked.map((one, at) => ({
    id: String(one["id"] ?? at + 1),
    text: String(one["text"] ?? one["question"] ?? row.title),
    options: (Array.isArray(one["options"]) ? one["options"].filter(isRecord) : []).map((option) => ({
      id: String(option["id"] ?? option["label"]),
      label: String(option["label"] ?? option["id"]),
    })),
    freeText: one["freeText"] !== false,
    multi: one["multi"] === true,
  }));
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
