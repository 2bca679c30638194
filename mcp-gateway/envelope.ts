import { BatonError } from "../contracts/failures.ts";
import type { Answer } from "./registry/action.ts";

/** A tool's result on the wire. The text is the same JSON: hosts show one or the other. */
export interface ToolResult {
  content: { type: "text"; text: string }[];
  structuredContent: Record<string, unknown>;
  isError?: boolean;
  [key: string]: unknown;
}

/** Where errors go that are nobody's fault but ours. */
export type ReportError = (fields: { action: string; error: unknown }, message: string) => void;

export function success(action: string, answer: Answer): ToolResult {
  const { data, page, warnings, next } = answer;
  return wire({ ok: true, action, data, ...(page ? { page } : {}), ...(warnings?.length ? { warnings } : {}), ...(next?.length ? { next } : {}) });
}

/** Our own refusals as they are; anything else is INTERNAL, told to the log and not to the caller. */
export function failure(action: string, error: unknown, report: ReportError): ToolResult {
  if (!(error instanceof BatonError)) {
    report({ action, error }, "a call failed");
    return failure(
      action,
      new BatonError("INTERNAL", "Something went wrong inside Baton; its log says what. Repeat the call with the same clientRequestId.", {
        applied: "unknown",
        retryable: true,
      }),
      report,
    );
  }
  const { next, ...detail } = error.detail;
  return { ...wire({ ok: false, action, error: { code: error.code, message: error.message, ...detail }, ...(next?.length ? { next } : {}) }), isError: true };
}

function wire(body: Record<string, unknown>): ToolResult {
  return { content: [{ type: "text", text: JSON.stringify(body) }], structuredContent: body };
}
