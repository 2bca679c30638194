import { permissionDetail } from "../contracts/permission-detail.ts";
import type { ApprovalRow } from "../store/rows.ts";
import { sizeOf } from "./bounded.ts";
import { type Room, shrink } from "./shrink.ts";

interface Question {
  id: string;
  text: string;
  options: { id: string; label: string }[];
  freeText: boolean;
  multi: boolean;
}

const rooms: [Room, ...Room[]] = [
  { text: 2_000, items: 40, depth: 8 },
  { text: 500, items: 15, depth: 6 },
  { text: 150, items: 6, depth: 4 },
  { text: 60, items: 3, depth: 3 },
];
/** What is cut first: the agent's own words, of which `command`, `paths` and `diffStat` say the most. */
const raw = new Set(["input", "locations", "content"]);

/**
 * What somebody is asked, as every read shows it. Without a deadline it waits for ever. What is longer than `maxBytes` (JSON) is cut and marked
 * `truncated`; the event that asked has the whole.
 */
export function approvalView(row: ApprovalRow, maxBytes = 4_000): Record<string, unknown> {
  const detail = detailOf(row);
  const whole = viewOf(row, detail);
  const bytes = sizeOf(whole);
  if (bytes <= maxBytes) return whole;
  const marks = { truncated: true, bytes, ...(row.sessionUlid === null ? {} : { resource: `session://${row.sessionUlid}/events` }) };
  const steps = [...rooms.map((room) => [room, rooms[0]] as const), ...rooms.map((room) => [null, room] as const)];
  let view = whole;
  for (const [ofRaw, ofRest] of steps) {
    const small = Object.entries(detail ?? {}).map(([name, value]) => [name, raw.has(name) ? ofRaw && shrink(value, ofRaw) : shrink(value, ofRest)]);
    const { title, reason, options } = row;
    // An option's id is what is sent back: none is cut.
    const labels = options.map((option) => ({ ...option, label: String(shrink(option.label, ofRest)) }));
    const said = { title: String(shrink(title, ofRest)), reason: reason === null ? null : String(shrink(reason, ofRest)), options: labels };
    view = { ...viewOf({ ...row, ...said }, detail && Object.fromEntries(small)), ...marks };
    if (sizeOf(view) <= maxBytes) break;
  }
  return view;
}

type Detail = Record<string, unknown> | null;

/** As it was asked; of a permission also what it comes to. The key by which a later request is known as the same is nobody's business. */
function detailOf(row: ApprovalRow): Detail {
  if (!isRecord(row.detail)) return null;
  const { grantKey: _, ...detail } = row.detail;
  return row.kind === "permission" ? { ...permissionDetail(detail), ...detail } : detail;
}

function viewOf(row: ApprovalRow, detail: Detail): Record<string, unknown> {
  const { approvalId, sessionUlid, chainId, turnId, kind, title, options, askedAt, state } = row;
  const deadline = typeof detail?.["deadline"] === "string" ? detail["deadline"] : null;
  const onDeadline = typeof detail?.["onDeadline"] === "string" ? detail["onDeadline"] : "wait";
  const answer =
    row.decision === null ? {} : { answer: { decision: row.decision, by: row.answeredBy, actor: row.actor, at: row.answeredAt, reason: row.reason } };
  return {
    approvalId,
    sessionUlid,
    chainId,
    turnId,
    kind,
    title,
    detail,
    why: detail?.["why"] ?? null,
    options,
    questions: questionsOf(row, detail ?? {}),
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
