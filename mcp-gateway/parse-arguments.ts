import { ulid } from "ulid";
import { z } from "zod";
import { BatonError } from "../contracts/failures.ts";
import { nearest } from "../contracts/did-you-mean.ts";
import { storableText } from "../contracts/storable-text.ts";
import type { Action } from "./registry/action.ts";
import type { Tool } from "./registry/index.ts";

/**
 * Keys of other versions of these tools that mean nothing here, by the object they come in: accepted, ignored, named in the answer's warnings.
 * None that narrows what an agent may do: to ignore such a one would widen it.
 */
const meaningless: Record<string, readonly string[]> = {
  "": ["workspaceKey", "workspaceId"],
  worktree: ["repoId", "requireLinked", "branchName"],
  config: ["maxOutputTokens", "temperature", "model_preferences"],
};
/** Providers of other versions of these tools that are models, not agents. */
const models = ["openai", "anthropic", "ollama"];

/** What is written for somebody to read: what Postgres does not store becomes U+FFFD in it, as in what agents write. */
const prose = ["prompt", "systemPrompt", "additionalInstructions", "description", "acceptanceCriteria", "requirements", "reason", "decision", "answers"];

export interface Parsed {
  action: Action;
  args: Record<string, unknown>;
  warnings: string[];
}

/** Finds the action and checks its arguments as forgivingly as can be without guessing. Errors: UNKNOWN_ACTION, INVALID_ARGUMENT with an example. */
export function parseArguments(tool: Tool, raw: unknown): Parsed {
  const { action: asked, ...sent } = isRecord(raw) ? raw : {};
  const action = findAction(tool, asked);
  const warnings: string[] = [];
  const args = tidyObject(action, action.schema, sent, "", warnings);
  const parsed = action.schema.safeParse(args);
  if (parsed.success) return { action, args: stored(parsed.data, []) as Record<string, unknown>, warnings };
  throw wrong(action, args, parsed.error.issues[0]);
}

/** The same as Postgres can store it. Error: INVALID_ARGUMENT where another text would be another thing. */
function stored(value: unknown, path: string[]): unknown {
  if (typeof value === "string") {
    const text = storableText(value);
    if (text === value || path.some((name) => prose.includes(name))) return text;
    throw notStored(path);
  }
  if (Array.isArray(value)) return value.map((one, at) => stored(one, [...path, String(at)]));
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => {
      if (storableText(name) !== name) throw notStored(path);
      return [name, stored(one, [...path, name])];
    }),
  );
}

function notStored(path: string[]): BatonError {
  const field = path.join(".");
  return new BatonError("INVALID_ARGUMENT", `"${field}" has a character that cannot be stored, NUL or half of a surrogate pair: send it without.`, { field });
}

function findAction(tool: Tool, asked: unknown): Action {
  if (!tool.takesAction) return tool.actions[0] as Action;
  const names = tool.actions.map((a) => a.action);
  const name =
    typeof asked === "string"
      ? asked
          .trim()
          .toLowerCase()
          .replace(/[\s-]+/g, "_")
      : "";
  const found = tool.actions.find((a) => a.action === name);
  if (found) return found;
  const close = nearest(name, names);
  const message = name === "" ? `${tool.name} needs an action.` : `${tool.name} has no action "${String(asked)}"${close ? `: did you mean "${close}"?` : "."}`;
  throw new BatonError("UNKNOWN_ACTION", message, { field: "action", allowed: names, example: { action: close ?? "help" } });
}

/** What was sent as the schema means it: `null` is absent, JSON text is what it says, keys without a meaning are left out. Error: INVALID_ARGUMENT for an unknown key. */
function tidy(action: Action, field: z.ZodType, sent: unknown, path: string, warnings: string[]): unknown {
  const value = fromJson(field, sent);
  const schema = meant(field, value);
  if (schema instanceof z.ZodArray && Array.isArray(value))
    return value.map((one, at) => tidy(action, schema.element as z.ZodType, one, `${path}.${at}`, warnings));
  if (schema instanceof z.ZodRecord && isRecord(value)) return tidyRecord(action, schema, value, path, warnings);
  return schema instanceof z.ZodObject && isRecord(value) ? tidyObject(action, schema, value, path, warnings) : withoutNulls(value);
}

function tidyObject(action: Action, schema: z.ZodObject, sent: Record<string, unknown>, path: string, warnings: string[]): Record<string, unknown> {
  const tidied: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(sent)) {
    const at = path === "" ? name : `${path}.${name}`;
    const field = Object.hasOwn(schema.shape, name) ? (schema.shape[name] as z.ZodType) : undefined;
    if (value === undefined || (value === null && field?.safeParse(null).success !== true)) continue;
    if (field) tidied[name] = tidy(action, field, value, at, warnings);
    else if (meaningless[path]?.includes(name)) warnings.push(`"${at}" means nothing here and was ignored.`);
    else throw unknownKey(action, Object.keys(schema.shape), path, name);
  }
  return tidied;
}

/** Names that the caller chose: each value as the schema means it. */
function tidyRecord(action: Action, schema: z.ZodRecord, sent: Record<string, unknown>, path: string, warnings: string[]): Record<string, unknown> {
  const field = schema.valueType as z.ZodType;
  const given = Object.entries(sent).filter(([, value]) => value !== null);
  return Object.fromEntries(given.map(([name, value]) => [name, tidy(action, field, asText(field, value), `${path}.${name}`, warnings)]));
}

function unknownKey(action: Action, names: string[], path: string, name: string): BatonError {
  const field = path === "" ? name : `${path}.${name}`;
  if (name === "dbPath") return new BatonError("INVALID_ARGUMENT", "dbPath is not accepted: a caller never chooses the database.", { field });
  const close = nearest(name, names);
  return new BatonError("INVALID_ARGUMENT", `"${field}" is not accepted by ${action.action}${close ? `: did you mean "${close}"?` : "."}`, {
    field,
    allowed: names,
    example: action.example,
  });
}

function wrong(action: Action, args: Record<string, unknown>, issue: z.core.$ZodIssue | undefined): BatonError {
  const path = issue?.path.join(".") ?? "";
  const missing = issue !== undefined && issue.path.length === 1 && args[String(issue.path[0])] === undefined;
  const provider = path === "provider" || path === "providerType" ? args[path] : undefined;
  if (typeof provider === "string" && models.includes(provider.toLowerCase())) return noAgent(provider, path);
  const message = missing ? `${action.action} needs "${path}".` : `"${path}": ${issue?.message ?? "wrong"}.`;
  // A key that is missing is one that can be made at once.
  const example = missing && path === "clientRequestId" ? { ...args, action: action.action, clientRequestId: ulid() } : action.example;
  return new BatonError("INVALID_ARGUMENT", message, { field: path, example });
}

function noAgent(provider: string, field: string): BatonError {
  return new BatonError(
    "PROVIDER_UNAVAILABLE",
    `"${provider}" is a model, not a coding agent: Baton runs claude, codex, opencode, gemini, and any agent that speaks ACP.`,
    {
      field,
      next: [{ tool: "pm_provider", args: { action: "list_providers" }, why: "which agents are here" }],
    },
  );
}

/** Some hosts send objects, arrays, numbers and booleans as JSON text. Text stays text where text is meant. */
function fromJson(field: z.ZodType, value: unknown): unknown {
  if (typeof value !== "string" || z.safeParse(field, value).success || takesText(field)) return value;
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}

/** A label or an answer is text, also when a host sends `12` or `true`. */
function asText(field: z.ZodType, value: unknown): unknown {
  return takesText(field) && (typeof value === "number" || typeof value === "boolean") ? String(value) : value;
}

function takesText(field: z.ZodType): boolean {
  const inner = bare(field);
  return inner instanceof z.ZodString || inner instanceof z.ZodEnum;
}

/** Of a choice the object, if one was sent. */
function meant(field: z.ZodType, value: unknown): z.ZodType {
  const schema = bare(field);
  if (!(schema instanceof z.ZodUnion) || !isRecord(value)) return schema;
  return (schema.options as z.ZodType[]).find((one) => one instanceof z.ZodObject) ?? schema;
}

/** Behind what makes a field optional or nullable. */
function bare(field: z.ZodType): z.ZodType {
  return field instanceof z.ZodOptional || field instanceof z.ZodNullable ? bare(field.unwrap() as z.ZodType) : field;
}

/** `null` means absent, at every depth of what has no schema of its own. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one !== null)
      .map(([name, one]) => [name, withoutNulls(one)]),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
