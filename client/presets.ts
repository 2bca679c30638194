import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { demoScenarios } from "../contracts/demo-scenarios.ts";
import type { Preset } from "../contracts/preset.ts";

const count = z.number().int().min(1);
const limitsSchema = z.strictObject({
  wallSeconds: count.max(86_400).optional(),
  idleSeconds: count.max(86_400).optional(),
  turns: count.optional(),
  tokens: count.optional(),
  costMicros: count.optional(),
});
const presetFile = z.strictObject({
  key: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,159}$/),
  displayName: z.string().min(1).max(200).optional(),
  providerType: z.enum(["claude", "codex", "opencode", "gemini", "acp", "scripted"]),
  description: z.string().max(2_000).optional(),
  config: z
    .strictObject({
      command: z.array(z.string().min(1)).min(1).optional(),
      wrapper: z.array(z.string().min(1)).optional(),
      model: z.string().min(1).optional(),
      scenario: z.unknown().optional(),
      env: z.array(z.strictObject({ name: z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), valueRef: z.string().min(1) })).optional(),
    })
    .default({}),
  permissions: z.strictObject({ mode: z.enum(["deny-all", "approve-reads", "ask", "approve-all"]) }).default({ mode: "ask" }),
  limits: limitsSchema.optional(),
  bootstrapCommands: z.array(z.string().min(1).max(10_000)).max(20).optional(),
  tools: z.array(z.string().min(1).max(100)).max(50).optional(),
  allowAdhocOverrides: z.boolean().optional(),
  revision: z.number().int().min(1).default(1),
});

/** All presets: the built-in ones and `<home>/presets/*.json`, which replace built-in ones of the same key. A wrong file is a problem (a sentence), never an error: the others still work. */
export async function loadPresets(home: string): Promise<{ presets: Preset[]; problems: string[] }> {
  const found = new Map(builtIn().map((preset) => [preset.key, preset]));
  const problems: string[] = [];
  const directory = join(home, "presets");
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") problems.push(`${directory}: ${error.message}`);
    return [];
  });
  for (const name of names.filter((n) => n.endsWith(".json")).sort()) {
    const preset = await readPreset(join(directory, name), name.slice(0, -".json".length));
    if (typeof preset === "string") problems.push(preset);
    else found.set(preset.key, preset);
  }
  return { presets: [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1)), problems };
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

function finished(parsed: z.infer<typeof presetFile>): Preset {
  // Through JSON: what zod marks as `undefined` is left out, so that the hash is of what is there.
  const plain = JSON.parse(JSON.stringify({ ...parsed, displayName: parsed.displayName ?? parsed.key })) as Omit<Preset, "sha256">;
  return { ...plain, sha256: createHash("sha256").update(JSON.stringify(plain)).digest("hex") };
}

type Launcher = Pick<Preset, "providerType" | "config">;
const launchers: Record<string, Launcher> = {
  opencode: { providerType: "opencode", config: { command: ["opencode", "acp"] } },
  gemini: { providerType: "gemini", config: { command: ["gemini", "--acp"] } },
  claude: { providerType: "claude", config: {} },
  codex: { providerType: "codex", config: {} },
};
const roles = { coder: "approve-all", reviewer: "approve-reads", auditor: "approve-reads" } as const;

function builtIn(): Preset[] {
  const real = Object.entries(roles).flatMap(([role, mode]) => Object.entries(launchers).map(([name, launcher]) => make(`${role}-${name}`, launcher, mode)));
  const demo = (["executor", "reviewer", "auditor"] as const).map((role) => {
    const mode = role === "executor" ? "approve-all" : "approve-reads";
    return make(`demo-${role}`, { providerType: "scripted", config: { scenario: demoScenarios[role] } }, mode);
  });
  return [...real, ...demo];
}

function make(key: string, launcher: Launcher, mode: Preset["permissions"]["mode"]): Preset {
  return finished(presetFile.parse({ key, ...launcher, permissions: { mode } }));
}
