import { BatonError } from "../contracts/failures.ts";
import type { Preset } from "../contracts/preset.ts";
import { presetFile, presetKey } from "../contracts/preset.schema.ts";
import { builtInPresets, type PresetSource } from "./built-in-presets.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { findPreset } from "./launch-plan.ts";
import { lastRevision, readPresetFile, removePresetFile, writePresetFile } from "./preset-store.ts";
import { record } from "./requests.ts";

/** A preset as a caller sends it: `create` needs `providerType`, `update` replaces the fields that are there. */
export type PresetArgs = { key: string; clientRequestId?: string; actor?: string; revision?: number } & Partial<
  Omit<Preset, "key" | "revision" | "sha256"> & { env: { name: string; valueRef: string }[] }
>;
type Data = Record<string, unknown>;
type Stored = Record<string, unknown>;
type Ids = { key: string; revision: number };

/** Largest preset. Bytes. */
const largest = 131_072;

/** Makes a preset. One that is there already and equal is the same call's work. Errors: CONFLICT_STATE, INVALID_ARGUMENT. */
export async function createPreset(deps: Deps, caller: Caller, args: PresetArgs): Promise<Data> {
  return change(deps, caller, "create_preset", args, async (now) => {
    const wanted = { ...sent(args), key: args.key };
    if (now === null) return wanted;
    if (same(now, wanted)) return now;
    throw new BatonError("CONFLICT_STATE", `Preset "${args.key}" exists: update it, or take another key.`, {
      field: "key",
      next: [{ tool: "pm_provider", args: { action: "update_preset", key: args.key, ...sent(args) }, why: "change the one that is there" }],
    });
  });
}

/** Replaces the fields that are given, as the next revision. With `revision` only if it is still that one. A built-in preset gets a file of its own. */
export async function updatePreset(deps: Deps, caller: Caller, args: PresetArgs): Promise<Data> {
  return change(deps, caller, "update_preset", args, async (now, revision) => {
    const base = now ?? { ...(await mustBeKnown(deps, args.key)) };
    const wanted = { ...base, ...sent(args) };
    // Equal already: an earlier try of this call wrote it.
    if (args.revision !== undefined && args.revision !== revision && !same(base, wanted))
      throw new BatonError("CONFLICT_STATE", `Preset "${args.key}" is at revision ${revision}, not ${args.revision}: read it again, then change it.`, {
        field: "revision",
        currentState: String(revision),
        next: [{ tool: "pm_provider", args: { action: "get_preset", key: args.key }, why: "as it is now" }],
      });
    return wanted;
  });
}

/** Removes a preset's file; its revisions stay in the history, sessions keep what they were launched with. A built-in one comes back as it was. */
export async function deletePreset(deps: Deps, caller: Caller, args: { key: string; clientRequestId?: string; actor?: string }): Promise<Data> {
  checkKey(args.key);
  const { home } = deps.options;
  const store = await deps.getStore();
  const builtIn = builtInPresets().some((preset) => preset.key === args.key);
  const { replayed } = await record(store, caller, { action: "delete_preset", args: { ...args }, target: args.key }, async (tx) => {
    await store.lockName(tx, `preset:${args.key}`);
    if ((await readPresetFile(home, args.key)) === null) {
      if (builtIn)
        throw new BatonError("CONFLICT_STATE", `"${args.key}" is built in and has no file: it cannot be deleted.`, { field: "key", currentState: "built in" });
      // One that was here is gone: what was asked for.
      if ((await lastRevision(home, args.key)) === 0) await mustBeKnown(deps, args.key);
    } else await removePresetFile(home, args.key);
    return { key: args.key };
  });
  return { key: args.key, deleted: true, builtInAgain: builtIn, ...(replayed ? { replayed: true } : {}) };
}

/** One change of one file, in the transaction that takes the key: under a lock of its name, the next revision, checked as it will be read. */
async function change(
  deps: Deps,
  caller: Caller,
  action: string,
  args: PresetArgs,
  next: (now: Stored | null, revision: number) => Promise<Stored>,
): Promise<Data> {
  checkKey(args.key);
  const { home } = deps.options;
  const store = await deps.getStore();
  const { ids, replayed } = await record<Ids>(store, caller, { action, args: { ...args }, target: args.key }, async (tx) => {
    await store.lockName(tx, `preset:${args.key}`);
    const text = await readPresetFile(home, args.key);
    const builtIn = builtInPresets().find((preset) => preset.key === args.key) ?? null;
    const now: Stored | null = text === null ? builtIn && { ...builtIn } : parse(text, args.key);
    const revision = Number(now?.["revision"] ?? (now ? 1 : 0));
    const wanted = await next(now, revision);
    // What an earlier try of this transaction wrote is not written again.
    if (text !== null && same(now ?? {}, wanted)) return { key: args.key, revision };
    const body = checked({ ...wanted, revision: Math.max(revision, await lastRevision(home, args.key)) + 1 });
    await writePresetFile(home, args.key, body);
    return { key: args.key, revision: Number(body["revision"]) };
  });
  return { preset: await findPreset(deps, ids.key), revision: ids.revision, ...(replayed ? { replayed: true } : {}) };
}

function checked(body: Stored): Stored {
  const bytes = Buffer.byteLength(JSON.stringify(body));
  if (bytes > largest)
    throw new BatonError("LIMIT_EXCEEDED", `The preset has ${bytes} bytes, ${largest} are allowed: put a long scenario into a file and name it.`, {
      field: "config",
      allowed: largest,
    });
  const parsed = presetFile.safeParse(body);
  if (parsed.success) return body;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join(".") ?? "";
  const unknown = issue?.code === "unrecognized_keys" ? ` (${issue.keys.join(", ")})` : "";
  throw new BatonError("INVALID_ARGUMENT", `"${field}": ${issue?.message ?? "wrong"}${unknown}.`, { field });
}

function checkKey(key: string): void {
  const parsed = presetKey.safeParse(key);
  if (!parsed.success) throw new BatonError("INVALID_ARGUMENT", `"${key}" is no preset key: ${parsed.error.issues[0]?.message}.`, { field: "key" });
}

async function mustBeKnown(deps: Deps, key: string): Promise<PresetSource> {
  const { sha256: _, ...preset } = await findPreset(deps, key);
  return preset;
}

/** A file that a hand left broken is replaced by nobody but the hand. */
function parse(text: string, key: string): Stored {
  try {
    const found = JSON.parse(text) as unknown;
    if (typeof found === "object" && found !== null && !Array.isArray(found)) return found as Stored;
  } catch {
    // said below
  }
  throw new BatonError("CONFLICT_STATE", `presets/${key}.json in Baton's home is no JSON object: mend or remove the file.`, { field: "key" });
}

function sent(args: PresetArgs): Stored {
  return without({ ...args }, ["key", "clientRequestId", "actor", "revision"]);
}

function same(a: Stored, b: Stored): boolean {
  const plain = (preset: Stored) => JSON.stringify(Object.entries(without(preset, ["revision"])).sort(([x], [y]) => (x < y ? -1 : 1)));
  return plain(a) === plain(b);
}

function without(from: Stored, names: string[]): Stored {
  return Object.fromEntries(Object.entries(from).filter(([name]) => !names.includes(name)));
}
