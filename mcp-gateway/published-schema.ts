import { z } from "zod";
import type { Tool } from "./registry/index.ts";

type Json = Record<string, unknown>;

/** A tool's input schema as hosts take it: one flat object, no combinators, no references; what each action needs is checked by parse-arguments. */
export function publishedSchema(tool: Tool): Json {
  const properties: Record<string, Json> = {};
  const users = new Map<string, string[]>();
  for (const { action, schema } of tool.actions) {
    for (const [name, field] of Object.entries(schema.shape)) {
      const required = !z.safeParse(field, undefined).success;
      users.set(name, [...(users.get(name) ?? []), required ? `${action} (required)` : action]);
      properties[name] ??= { ...flat(field as z.ZodType), description: (field as z.ZodType).description ?? inner(field as z.ZodType).description ?? name };
    }
  }
  if (!tool.takesAction) return { type: "object", properties, additionalProperties: false };
  for (const [name, property] of Object.entries(properties))
    property["description"] = `${String(property["description"])}. Used by: ${users.get(name)?.join(", ") ?? ""}`;
  const action = { type: "string", enum: tool.actions.map((a) => a.action), description: "What to do" };
  return { type: "object", properties: { action, ...properties }, required: ["action"], additionalProperties: false };
}

/** The description of a tool: when to use it, then one line per action. */
export function publishedDescription(tool: Tool): string {
  return tool.takesAction ? [tool.lead, ...tool.actions.map((a) => `- ${a.action}: ${a.description}`)].join("\n") : tool.lead;
}

function inner(field: z.ZodType): z.ZodType {
  return field instanceof z.ZodOptional ? (field.unwrap() as z.ZodType) : field;
}

function flat(outer: z.ZodType): Json {
  const field = inner(outer);
  if (field instanceof z.ZodEnum) return { type: "string", enum: field.options };
  if (field instanceof z.ZodNumber) return { type: field.format === "safeint" ? "integer" : "number" };
  if (field instanceof z.ZodBoolean) return { type: "boolean" };
  if (field instanceof z.ZodArray) return { type: "array", items: flat(field.element as z.ZodType) };
  if (field instanceof z.ZodObject || field instanceof z.ZodRecord) return { type: "object", additionalProperties: true };
  return { type: "string" };
}
