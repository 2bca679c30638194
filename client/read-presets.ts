import type { Preset } from "../contracts/preset.ts";
import { presetFile } from "../contracts/preset.schema.ts";
import { fitting, mostBytes } from "./bounded.ts";
import { builtInPresets } from "./built-in-presets.ts";
import type { Deps } from "./deps.ts";
import { findProgram } from "./find-program.ts";
import { installHint } from "./known-agents.ts";
import { findPreset } from "./launch-plan.ts";
import { finished, loadPresets } from "./presets.ts";

type Data = Record<string, unknown>;

/** Every preset and whether its agent is here, with the problems of files that cannot be read. */
export async function listPresets(deps: Deps, args: { includeProviderDefaults?: boolean }): Promise<Data> {
  const { presets, problems } = await loadPresets(deps.options.home);
  const builtIn = new Map(builtInPresets().map((preset) => [preset.key, finished(presetFile.parse(preset)).sha256]));
  const shown = await Promise.all(
    presets.map(async (preset) => ({ ...brief(preset), builtIn: builtIn.get(preset.key) === preset.sha256, ...(await availability(deps, preset)) })),
  );
  const { kept, truncated } = fitting(args.includeProviderDefaults === false ? shown.filter((preset) => !preset.builtIn) : shown, mostBytes);
  return { presets: kept, ...(truncated ? { truncated: true } : {}), ...(problems.length > 0 ? { problems } : {}) };
}

async function availability(deps: Deps, { providerType, config }: Preset): Promise<{ available: boolean; install?: string }> {
  const program = config.wrapper?.[0] ?? (providerType === "scripted" ? process.execPath : config.command?.[0]);
  const available = program !== undefined && (await findProgram(program, deps.options.searchPath)) !== null;
  const install = available ? null : installHint(providerType);
  return { available, ...(install ? { install } : {}) };
}

/** One preset in full. Error: NOT_FOUND with the keys there are. */
export async function getPreset(deps: Deps, key: string): Promise<Data> {
  return { preset: await findPreset(deps, key) };
}

function brief({ key, displayName, providerType, description, tags, permissions, revision, sha256 }: Preset): Data {
  return { key, displayName, providerType, ...(description ? { description } : {}), ...(tags ? { tags } : {}), permissions, revision, sha256 };
}
