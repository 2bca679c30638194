import type { TurnFailure } from "../contracts/event.ts";
import { jsonOf } from "./bounded.ts";
import { RpcError } from "./json-rpc-peer.ts";

/** Looked at in order; the first that matches what the agent said names the class. */
const patterns: [RegExp, string, boolean][] = [
  [/session[^.]{0,40}(not found|unknown|does not exist)|(invalid|unknown|no such) session|no (conversation|rollout) found/i, "session_not_found", false],
  [/\b40[13]\b|unauthor|authenticat|api.?key|forbidden|log ?in required/i, "auth", false],
  [/\b429\b|rate.?limit|too many requests|quota/i, "rate_limit", true],
  [/\b529\b|overloaded/i, "overloaded", true],
  [/context.{0,20}(length|window|overflow)|prompt is too long|maximum.{0,20}tokens/i, "context_overflow", false],
  [/model.{0,60}(not found|does not exist|unknown)|unknown model/i, "model_not_found", false],
  [/\b50[0-4]\b|server error|bad gateway|service unavailable/i, "server", true],
  [/ECONN|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|fetch failed|network|socket hang up/i, "network", true],
  [/\b400\b|bad request|invalid.?(request|param)/i, "invalid_request", false],
];

/** The failure class of what an agent said when something went wrong. `unknown` when nothing fits. */
export function classify(text: string): TurnFailure {
  const start = text.slice(0, 2_000);
  const match = patterns.find(([pattern]) => pattern.test(start));
  return match ? { class: match[1], message: text, retryable: match[2] } : { class: "unknown", message: text, retryable: false };
}

/** The failure of a request to the agent: by JSON-RPC code where it says something, else by the text. */
export function failureOf(error: unknown): TurnFailure {
  if (!(error instanceof RpcError)) return classify(error instanceof Error ? error.message : String(error));
  const data = error.data === undefined ? "" : ` ${jsonOf(error.data) ?? "[nested too deep]"}`;
  const text = `${error.message}${data}`;
  if (error.code === -32000) return { class: "auth", message: text, retryable: false };
  if (error.code === -32602 && !/session/i.test(text)) return { class: "invalid_request", message: text, retryable: false };
  // Some agents put the model server's HTTP status into the code.
  return classify(error.code >= 400 && error.code < 600 ? `${error.code} ${text}` : text);
}

/** Some agents end a turn normally and say the model server's error as their message. */
export function errorSaidAsMessage(text: string): TurnFailure | null {
  if (!/^\s*\{\s*"error"\s*:\s*\{/.test(text)) return null;
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  return classify(text);
}
