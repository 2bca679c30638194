import { z } from "zod";
import type { Action } from "./action.ts";

export interface Parameter {
  name: string;
  required: boolean;
  /** in words a person reads: `integer, 1 to 200`, `one of a, b`, `list of string` */
  type: string;
  about: string;
}

/** An action's parameters, the required ones first. */
export function parametersOf(action: Action): Parameter[] {
  const found = Object.entries(action.schema.shape).map(([name, given]) => {
    const field = given as z.ZodType;
    return { name, required: !z.safeParse(field, undefined).success, type: typeOf(field), about: field.description ?? inner(field).description ?? "" };
  });
  return [...found.filter((one) => one.required), ...found.filter((one) => !one.required)];
}

function typeOf(outer: z.ZodType): string {
  const field = inner(outer);
  if (field instanceof z.ZodEnum) return `one of ${field.options.join(", ")}`;
  if (field instanceof z.ZodNumber) return `${field.format === "safeint" ? "integer" : "number"}${range(field)}`;
  if (field instanceof z.ZodBoolean) return "true or false";
  if (field instanceof z.ZodArray) return `list of ${typeOf(field.element as z.ZodType)}`;
  if (field instanceof z.ZodObject) return `object {${Object.keys(field.shape).join(", ")}}`;
  if (field instanceof z.ZodRecord) return "object";
  return "string";
}

function range(field: z.ZodNumber): string {
  const [low, high] = [field.minValue, field.maxValue];
  const bounded = (value: number | null): value is number => value !== null && Math.abs(value) < Number.MAX_SAFE_INTEGER;
  if (bounded(low) && bounded(high)) return `, ${low} to ${high}`;
  if (bounded(low)) return `, at least ${low}`;
  return bounded(high) ? `, at most ${high}` : "";
}

function inner(field: z.ZodType): z.ZodType {
  return field instanceof z.ZodOptional || field instanceof z.ZodNullable ? inner(field.unwrap() as z.ZodType) : field;
}
