import { ulid } from "ulid";
import { z } from "zod";
import { BatonError } from "../contracts/failures.ts";
import { nearest } from "../contracts/did-you-mean.ts";
import type { Action } from "./registry/action.ts";
import type { Tool } from "./registry/index.ts";

/** Keys that are known to arrive and mean nothing here: accepted, ignored, named in the answer's warnings. */
const meaningless = new Set(["workspaceKey", "workspaceId"]);

export interface Parsed {
  action: Action;
  args: Record<string, unknown>;
  warnings: string[];
}

/** Finds the action and checks its arguments as forgivingly as can be without guessing. Errors: UNKNOWN_ACTION, INVALID_ARGUMENT with an example. */
export function parseArguments(tool: Tool, raw: unknown): Parsed {
  const sent = Object.entries(isRecord(raw) ? raw : {}).filter(([, value]) => value !== null && value !== undefined);
  const action = findAction(tool, sent.find(([name]) => name === "action")?.[1]);
  const args: Record<string, unknown> = {};
  const warnings: string[] = [];
  for (const [name, value] of sent) {
    if (name === "action") continue;
    const field = action.schema.shape[name] as z.ZodType | undefined;
    if (field) args[name] = withoutNulls(fromJson(field, value), field);
    else if (meaningless.has(name)) warnings.push(`"${name}" means nothing here and was ignored.`);
    else throw unknownKey(action, name);
  }
  const parsed = action.schema.safeParse(args);
  if (parsed.success) return { action, args: parsed.data, warnings };
  throw wrong(action, args, parsed.error.issues[0]);
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

function unknownKey(action: Action, name: string): BatonError {
  const names = Object.keys(action.schema.shape);
  if (name === "dbPath") return new BatonError("INVALID_ARGUMENT", "dbPath is not accepted: a caller never chooses the database.", { field: name });
  const close = nearest(name, names);
  return new BatonError("INVALID_ARGUMENT", `"${name}" is not accepted by ${action.action}${close ? `: did you mean "${close}"?` : "."}`, {
    field: name,
    allowed: names,
    example: action.example,
  });
}

function wrong(action: Action, args: Record<string, unknown>, issue: z.core.$ZodIssue | undefined): BatonError {
  const path = issue?.path.join(".") ?? "";
  const missing = issue !== undefined && issue.path.length === 1 && args[String(issue.path[0])] === undefined;
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys.map((key) => (path ? `${path}.${key}` : key)) : null;
  const message = unknown
    ? `"${unknown.join('", "')}" is not accepted by ${action.action}.`
    : missing
      ? `${action.action} needs "${path}".`
      : `"${path}": ${issue?.message ?? "wrong"}.`;
  // A key that is missing is one that can be made at once.
  const example = missing && path === "clientRequestId" ? { ...args, action: action.action, clientRequestId: ulid() } : action.example;
  return new BatonError("INVALID_ARGUMENT", message, { field: unknown?.[0] ?? path, example });
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

function takesText(field: z.ZodType): boolean {
  const inner = field instanceof z.ZodOptional ? (field.unwrap() as z.ZodType) : field;
  return inner instanceof z.ZodString || inner instanceof z.ZodEnum;
}

/** `null` means absent, at every depth of an object, but where the schema has a meaning for it (`audit: null` is a chain without that gate). */
function withoutNulls(value: unknown, field?: z.ZodType): unknown {
  if (Array.isArray(value)) return value.map((one) => withoutNulls(one));
  if (!isRecord(value)) return value;
  const fields = shapeOf(field);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, v]) => v !== null || fields[name]?.safeParse(null).success === true)
      .map(([name, v]) => [name, withoutNulls(v, fields[name])]),
  );
}

/** The fields of an object's schema, behind what makes it optional or nullable. */
function shapeOf(field: z.ZodType | undefined): Record<string, z.ZodType> {
  if (field instanceof z.ZodOptional || field instanceof z.ZodNullable) return shapeOf(field.unwrap() as z.ZodType);
  return field instanceof z.ZodObject ? (field.shape as Record<string, z.ZodType>) : {};
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
