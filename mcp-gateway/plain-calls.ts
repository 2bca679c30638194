import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { BatonError, type ErrorCode } from "../contracts/failures.ts";
import { failure, type ToolResult } from "./envelope.ts";
import { bodyText } from "./request-body.ts";
import { callTool, offered, type ServerParts } from "./server.ts";

/** What kind of refusal it is, to programs that look at the status first. */
const statuses: Record<ErrorCode, ContentfulStatusCode> = {
  INVALID_ARGUMENT: 400,
  UNKNOWN_ACTION: 400,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  CONFLICT_STATE: 409,
  IDEMPOTENCY_MISMATCH: 409,
  UNSUPPORTED_BY_PROVIDER: 422,
  QUEUE_FULL: 429,
  LIMIT_EXCEEDED: 429,
  RATE_LIMITED: 429,
  INTERNAL: 500,
  PROVIDER_UNAVAILABLE: 503,
  UNAVAILABLE: 503,
};

/**
 * `POST /call/<tool>`: the same call as `tools/call`, for a program without an MCP client. The body is the call's arguments, the answer
 * its envelope; the status follows the error's code, and `Retry-After` its `retryAfterMs`.
 */
export async function plainCall(parts: ServerParts, c: Context, largest: number): Promise<Response> {
  const name = c.req.param("tool") ?? "";
  const tool = offered(parts).find((one) => one.name === name);
  const allowed = offered(parts).map((one) => one.name);
  if (!tool)
    return answer(c, refusal(parts, name, new BatonError("NOT_FOUND", `There is no tool "${name}": ${allowed.join(", ")}.`, { field: "tool", allowed })));
  const args = await argumentsOf(c.req.raw, largest).catch(() => undefined);
  if (args === undefined)
    return answer(c, refusal(parts, name, new BatonError("INVALID_ARGUMENT", "Send the call's arguments as a JSON object, like curl --json '{…}'.")));
  return answer(c, await callTool(parts, tool, args, { http: { req: c.req.raw } }));
}

/** Nothing at all is a call without arguments. Rejects with whatever is no JSON object. */
async function argumentsOf(request: Request, largest: number): Promise<object> {
  const body = await bodyText(request, largest);
  if (body.tooLarge) throw new Error("too large");
  const args = body.text.trim() === "" ? {} : (JSON.parse(body.text) as unknown);
  if (typeof args !== "object" || args === null || Array.isArray(args)) throw new Error("no object");
  return args;
}

const refusal = (parts: ServerParts, name: string, error: BatonError): ToolResult => failure(name, error, parts.report);

function answer(c: Context, { structuredContent, content }: ToolResult): Response {
  const error = structuredContent["error"] as { code: ErrorCode; retryAfterMs?: number } | undefined;
  const retry: Record<string, string> = error?.retryAfterMs === undefined ? {} : { "Retry-After": String(Math.ceil(error.retryAfterMs / 1_000)) };
  return c.body(content[0]?.text ?? "", error ? statuses[error.code] : 200, { "Content-Type": "application/json", ...retry });
}
