import type { Candidate, TurnFailure, TurnOutcome } from "../contracts/event.ts";
import type { TurnEnded } from "../contracts/messages.ts";

const outcomes: readonly string[] = ["completed", "interrupted", "failed", "limit", "unknown"] satisfies TurnOutcome[];

/** Most characters of text in the news of a turn; a chain copies the news into several messages of its own. */
const maxText = 2_000;

/** The news with its texts cut: a candidate's statistics and a failure's message may be of any length. */
export function shortNews(news: TurnEnded): TurnEnded {
  const { candidate, failure } = news;
  return {
    ...news,
    ...(candidate && { candidate: { ...candidate, diffStat: candidate.diffStat.slice(0, maxText) } }),
    ...(failure && { failure: { ...failure, message: failure.message.slice(0, maxText) } }),
  };
}

/** A `turnEnded` Signal after the check of its shape; `null`: nonsense. Anyone can send a Signal from Temporal's UI. */
export function readTurnEnded(body: unknown): TurnEnded | null {
  if (!isRecord(body)) return null;
  const { sessionUlid, turnId, outcome, candidate, failure, next } = body;
  if (typeof sessionUlid !== "string" || typeof turnId !== "string" || typeof outcome !== "string" || !outcomes.includes(outcome)) return null;
  if (candidate !== undefined && !isCandidate(candidate)) return null;
  if (failure !== undefined && !isFailure(failure)) return null;
  if (next !== undefined && typeof next !== "string") return null;
  return {
    sessionUlid,
    turnId,
    outcome: outcome as TurnOutcome,
    ...(candidate !== undefined && { candidate }),
    ...(failure !== undefined && { failure }),
    ...(next !== undefined && { next }),
  };
}

function isCandidate(value: unknown): value is Candidate {
  return (
    isRecord(value) && ["commit", "tree", "ref", "base", "diffStat"].every((name) => typeof value[name] === "string") && typeof value["files"] === "number"
  );
}

function isFailure(value: unknown): value is TurnFailure {
  return isRecord(value) && typeof value["class"] === "string" && typeof value["message"] === "string";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
