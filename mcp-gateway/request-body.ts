import { isJsonContentType, readRequestBody } from "@modelcontextprotocol/server";

/**
 * The JSON that a request brings, read once: left to itself the SDK copies the request for each look at its body.
 * A Response: why it is refused. Undefined: it is of a kind that brings none.
 */
export async function jsonBody(request: Request, largest: number): Promise<{ json: unknown } | Response> {
  if (request.method !== "POST") return { json: undefined };
  if (!isJsonContentType(request.headers.get("content-type"))) return refusal(415, -32000, "Unsupported Media Type: Content-Type must be application/json");
  const body = await bodyText(request, largest).catch(() => null);
  if (body === null) return refusal(400, -32700, "The body could not be read.");
  if (body.tooLarge) return refusal(413, -32000, "The request is too large.");
  try {
    return { json: JSON.parse(body.text) as unknown };
  } catch {
    return refusal(400, -32700, "The body is not JSON.");
  }
}

/** A length that was said is kept by Node's parser: such a body is taken as it is, without the streams that count another's bytes (a tenth of a short call). */
export async function bodyText(request: Request, largest: number): Promise<{ tooLarge: true } | { tooLarge: false; text: string }> {
  const length = saidLength(request);
  if (length === null) return readRequestBody(request, largest);
  return length > largest ? { tooLarge: true } : { tooLarge: false, text: await request.text() };
}

/** Bytes that a request says it brings; null: it says nothing. */
export function saidLength(request: Request): number | null {
  const said = request.headers.get("content-length");
  return said === null ? null : Number(said);
}

/** An error of JSON-RPC to a request that has no id, or none that was read. */
export function refusal(status: number, code: number, message: string): Response {
  return Response.json({ jsonrpc: "2.0", id: null, error: { code, message } }, { status });
}
