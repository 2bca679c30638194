import { fitting, sizeOf } from "../client/bounded.ts";
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

/** Our own refusals, what they echo cut; anything else is INTERNAL, told to the log and not to the caller. */
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
  return { ...wire(refusal(action, error)), isError: true };
}

/** The result whose body was written down. */
export function kept(body: Record<string, unknown>): ToolResult {
  return { ...wire(body), ...(body["ok"] === true ? {} : { isError: true }) };
}

/** Hosts cut a refusal's text at about 11,000 characters, and JSON that is cut is none. Bytes. */
const mostOfRefusal = 9_900;
/** Of what the caller sent, that comes back in a refusal. Characters. */
const longestEcho = 400;
const longestMessage = 2_000;
/** A call in `next` with a longer text is left out: cut, it would be another call. Characters. */
const longestArgument = 4_000;
/** Bytes of the values that would do. */
const mostAllowed = 3_000;

function refusal(action: string, { code, message, detail }: BatonError): Record<string, unknown> {
  const { next = [], allowed, ...rest } = detail;
  const values = Array.isArray(allowed) ? fitting(allowed, mostAllowed).kept : allowed;
  const told = echoed({ ...rest, ...(allowed === undefined ? {} : { allowed: values }) }) as Record<string, unknown>;
  const calls = next.filter(({ args }) => longestText(args) <= longestArgument);
  const body = () => ({
    ok: false,
    action: cut(action, longestEcho),
    error: { code, message: cut(message, longestMessage), ...told },
    ...(calls.length > 0 ? { next: calls } : {}),
  });
  // Many short texts are long, too. What helps least goes first.
  for (const name of ["example", "allowed"]) if (sizeOf(body()) > mostOfRefusal) delete told[name];
  while (calls.length > 0 && sizeOf(body()) > mostOfRefusal) calls.pop();
  return body();
}

const cut = (text: string, longest: number): string => (text.length <= longest ? text : `${text.slice(0, longest).toWellFormed()}…`);

/** The same with every text cut. */
function echoed(value: unknown): unknown {
  if (typeof value === "string") return cut(value, longestEcho);
  if (Array.isArray(value)) return value.map(echoed);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, echoed(one)]));
}

function longestText(value: unknown): number {
  if (typeof value === "string") return value.length;
  return value === null || typeof value !== "object" ? 0 : Math.max(0, ...Object.values(value).map(longestText));
}

function wire(body: Record<string, unknown>): ToolResult {
  return { content: [{ type: "text", text: JSON.stringify(body) }], structuredContent: body };
}
