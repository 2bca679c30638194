import { nearest } from "../contracts/did-you-mean.ts";
import { BatonError } from "../contracts/failures.ts";
import type { Preset } from "../contracts/preset.ts";

/** The kinds of tools of the Agent Client Protocol: what an agent says of a tool when it asks for permission. */
const acpTools = ["read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other"];

/**
 * Checks the names of the tools a session is limited to: kinds that its provider knows, and what its preset names.
 * Error: INVALID_ARGUMENT with the list.
 */
export function checkTools(preset: Preset, tools: string[] | undefined): void {
  const known = [...new Set([...acpTools, ...(preset.tools ?? [])])];
  const unknown = (tools ?? []).find((tool) => !known.includes(tool));
  if (unknown === undefined) return;
  const close = nearest(unknown, known);
  throw new BatonError("INVALID_ARGUMENT", `${preset.providerType} agents know no tool "${unknown}"${close ? `: did you mean "${close}"?` : "."}`, {
    field: "tools",
    allowed: known,
  });
}
