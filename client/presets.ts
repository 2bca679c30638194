import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import type { Preset } from "../contracts/preset.ts";
import { presetFile } from "../contracts/preset.schema.ts";
import { builtInPresets } from "./built-in-presets.ts";
import { knownAgents } from "./known-agents.ts";

/**
 * All presets: the built-in ones and `<home>/presets/*.json`, which replace built-in ones of the same key. The files are this installation's: a
 * gateway and a host on two machines read each their own home. A wrong file is a problem (a sentence), never an error: the others still work.
 */
export async function loadPresets(home: string): Promise<{ presets: Preset[]; problems: string[] }> {
  const found = new Map(builtInPresets().map((preset) => [preset.key, finished(presetFile.parse(preset))]));
  const problems: string[] = [];
  const directory = presetDirectory(home);
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") problems.push(`${directory}: ${error.message}`);
    return [];
  });
  for (const name of names.filter((n) => n.endsWith(".json") && !n.startsWith(".")).sort()) {
    const preset = await readPreset(join(directory, name), name.slice(0, -".json".length));
    if (typeof preset === "string") problems.push(preset);
    else found.set(preset.key, preset);
  }
  return { presets: [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1)), problems };
}

export function presetDirectory(home: string): string {
  return join(home, "presets");
}

async function readPreset(path: string, key: string): Promise<Preset | string> {
  try {
    const parsed = presetFile.safeParse({ key, ...(JSON.parse(await readFile(path, "utf8")) as object) });
    if (!parsed.success) return `${path}: ${parsed.error.issues.map((i) => `${i.path.join(".") || "file"}: ${i.message}`).join("; ")}`;
    if (parsed.data.key !== key) return `${path}: its key is "${parsed.data.key}", a file is named after its key`;
    return finished(parsed.data);
  } catch (error) {
    return `${path}: ${(error as Error).message}`;
  }
}

/** A parsed file as the rest of Baton sees it: named, with its hash, its environment in one place, and the command of an agent that Baton knows. */
export function finished({ env, ...parsed }: z.output<typeof presetFile>): Preset {
  const command = parsed.config.command ?? knownAgents.find((agent) => agent.providerType === parsed.providerType)?.command;
  const config = { ...parsed.config, command, ...(env === undefined ? {} : { env: [...(parsed.config.env ?? []), ...env] }) };
  // Through JSON: what zod marks as `undefined` is left out, so that the hash is of what is there.
  const plain = JSON.parse(JSON.stringify({ ...parsed, config, displayName: parsed.displayName ?? parsed.key })) as Omit<Preset, "sha256">;
  return { ...plain, sha256: createHash("sha256").update(JSON.stringify(plain)).digest("hex") };
}
