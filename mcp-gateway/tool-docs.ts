import { errorCodes } from "../contracts/error-codes.ts";
import type { ErrorCode } from "../contracts/failures.ts";
import type { Action } from "./registry/action.ts";
import { type Parameter, parametersOf } from "./registry/describe-field.ts";
import type { Tool } from "./registry/index.ts";

/** The pages of docs/tools: file name to Markdown, from the registry alone. */
export function toolDocs(tools: Tool[]): Map<string, string> {
  const pages = new Map(tools.map((tool) => [`${tool.name}.md`, page(tool)]));
  return pages.set("README.md", index(tools));
}

function index(tools: Tool[]): string {
  const rows = tools.map(
    (tool) => `| [${tool.name}](${tool.name}.md) | ${cell(tool.lead)} | ${tool.takesAction ? tool.actions.map((a) => `\`${a.action}\``).join(", ") : ""} |`,
  );
  const codes = Object.entries(errorCodes).map(([code, meaning]) => `| \`${code}\` | ${cell(meaning)} |`);
  return text([
    "# The tools",
    "Made by `npm run docs` from `mcp-gateway/registry/`: change it there.",
    "An answer is `{ok: true, action, data, page?, warnings?, next?}`; each of `next` is a call ready to send. A refusal is `{ok: false, action, error: {code, message, field?, allowed?, currentState?, applied, retryable, retryAfterMs?, example?}, next?}`: it changed nothing and took no key, unless `applied` is `unknown`, then repeat it with the same `clientRequestId`.",
    ["| tool | what for | actions |", "|---|---|---|", ...rows].join("\n"),
    "## Codes of refusals",
    ["| code | what it means |", "|---|---|", ...codes].join("\n"),
  ]);
}

function page(tool: Tool): string {
  const list = tool.actions.map((a) => `- [${a.action}](#${a.action}): ${a.description}`).join("\n");
  return text([
    `# ${tool.name}`,
    tool.lead,
    ...(tool.takesAction ? [list, ...tool.actions.flatMap((a) => section(tool, a, true))] : tool.actions.flatMap((a) => section(tool, a, false))),
    `What refusals mean is in [the index](README.md#codes-of-refusals).`,
  ]);
}

function section(tool: Tool, of: Action, titled: boolean): string[] {
  const parameters = parametersOf(of);
  return [
    ...(titled ? [`## ${of.action}`, `${capital(of.description)}.`] : []),
    `Scope: \`${of.scope}\`. Refusals: ${refusalsOf(of)
      .map((code) => `\`${code}\``)
      .join(", ")}.`,
    parameters.length === 0 ? "No parameters." : ["| parameter | type | about |", "|---|---|---|", ...parameters.map(row)].join("\n"),
    ["```json", JSON.stringify({ tool: tool.name, args: of.example }, null, 2), "```"].join("\n"),
  ];
}

/** What an action may be refused with, as its scope and parameters tell; UNAVAILABLE and INTERNAL are every call's. */
function refusalsOf({ scope, schema }: Action): ErrorCode[] {
  const takes = (...names: string[]) => names.some((name) => name in schema.shape);
  const changes = scope !== "session:read";
  return [
    "INVALID_ARGUMENT",
    ...(changes ? (["PERMISSION_DENIED"] as const) : []),
    ...(takes("sessionUlid", "chainId", "approvalId", "taskKey", "reviewId", "key", "launcherConfigKey") ? (["NOT_FOUND"] as const) : []),
    ...(changes ? (["CONFLICT_STATE"] as const) : []),
    ...(takes("clientRequestId") ? (["IDEMPOTENCY_MISMATCH"] as const) : []),
    ...(takes("prompt") ? (["LIMIT_EXCEEDED"] as const) : []),
    ...(takes("launcherConfigKey") ? (["PROVIDER_UNAVAILABLE"] as const) : []),
    ...(takes("delivery") ? (["UNSUPPORTED_BY_PROVIDER", "QUEUE_FULL"] as const) : []),
  ];
}

function row({ name, required, type, about }: Parameter): string {
  return `| \`${name}\`${required ? " **required**" : ""} | ${cell(type)} | ${cell(about)} |`;
}

function cell(words: string): string {
  return words.replaceAll("|", "\\|").replaceAll("\n", " ").replaceAll("<", "&lt;");
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function text(blocks: string[]): string {
  return `${blocks.join("\n\n")}\n`;
}
