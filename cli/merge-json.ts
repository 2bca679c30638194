/** The JSON text with `entry` as `path`'s member `name`; everything else stays, the indentation too. Error: a sentence, when it is no JSON object. */
export function mergeJson(text: string | null, path: string[], name: string, entry: Record<string, unknown>): string {
  const root = text === null || text.trim() === "" ? {} : objectIn(text);
  let at = root;
  // The second major version of one host keeps its servers one level deeper.
  const deeper = path[0] === "mcp" && isObject(root["mcp"]) && isObject(root["mcp"]["servers"]) && !("type" in root["mcp"]["servers"]);
  for (const key of deeper ? [...path, "servers"] : path) {
    const next = at[key] ?? {};
    if (!isObject(next)) throw new Error(`"${key}" in it is no object.`);
    at[key] = next;
    at = next;
  }
  at[name] = entry;
  const indent = /^\{\r?\n([ \t]+)"/.exec(text?.trimStart() ?? "")?.[1] ?? "  ";
  return `${JSON.stringify(root, null, indent)}\n`;
}

function objectIn(text: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (error) {
    throw new Error(`It is no plain JSON (${(error as Error).message}); comments and trailing commas would be lost.`, { cause: error });
  }
  if (!isObject(parsed)) throw new Error("It holds no JSON object.");
  return parsed;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
