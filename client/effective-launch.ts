import { BatonError } from "../contracts/failures.ts";
import type { EffectiveLaunch, Limits, Preset, Waits } from "../contracts/preset.ts";
import { findProgram } from "./find-program.ts";
import { installHint } from "./known-agents.ts";

/** What a caller may set beside a preset, for one launch. Permissions are the preset's alone: nobody widens them by a call. */
export interface LaunchOverrides extends Waits {
  command?: string[];
  wrapper?: string[];
  model?: string;
  scenario?: unknown;
  env?: { name: string; valueRef: string }[];
  tools?: string[];
  limits?: Limits;
}

/** The preset with overrides, as the host will launch it. Errors: BatonError PROVIDER_UNAVAILABLE, with what to install or set. */
export async function effectiveLaunch(preset: Preset, over: LaunchOverrides, searchPath: string): Promise<EffectiveLaunch> {
  const { config } = preset;
  const command = over.command ?? config.command;
  const wrapper = over.wrapper ?? config.wrapper;
  const model = over.model ?? config.model;
  const scenario = over.scenario ?? config.scenario;
  const env = [...(config.env ?? []).filter((e) => !over.env?.some((o) => o.name === e.name)), ...(over.env ?? [])];
  const own = preset.providerType === "claude" || preset.providerType === "codex";
  if (own && !command) {
    throw new BatonError(
      "PROVIDER_UNAVAILABLE",
      `This version has no driver of its own for ${preset.providerType}: give the argv of its ACP adapter as config.command, or use another preset.`,
      { field: "launcherConfigKey", example: { config: { command: [`${preset.providerType}-acp-adapter`] } } },
    );
  }
  if (preset.providerType !== "scripted") await mustBeThere(preset, wrapper?.[0] ?? command?.[0], searchPath);
  const tools = over.tools ?? preset.tools;
  const keepAliveMs = over.keepAliveMs ?? config.keepAliveMs;
  const sessionIdleCloseMs = over.sessionIdleCloseMs ?? config.sessionIdleCloseMs;
  return {
    providerType: own ? "acp" : preset.providerType,
    ...(command ? { command } : {}),
    ...(wrapper ? { wrapper } : {}),
    ...(model ? { model } : {}),
    ...(scenario === undefined ? {} : { scenario }),
    ...(env.length > 0 ? { env } : {}),
    ...(tools ? { tools } : {}),
    ...(keepAliveMs === undefined ? {} : { keepAliveMs }),
    ...(sessionIdleCloseMs === undefined ? {} : { sessionIdleCloseMs }),
    permissions: preset.permissions,
    ...(preset.agentScopes ? { agentScopes: preset.agentScopes } : {}),
    ...(preset.allowAdhocOverrides === false ? { allowAdhocOverrides: false } : {}),
    limits: smaller(preset.limits ?? {}, over.limits ?? {}),
  };
}

/** Of each limit the smaller one: nobody widens a preset's by a call. */
export function smaller(a: Limits, b: Limits): Limits {
  const names = ["wallSeconds", "idleSeconds", "turns", "tokens", "costMicros"] as const;
  const least = names.map((name) => [name, Math.min(a[name] ?? Infinity, b[name] ?? Infinity)] as const);
  return Object.fromEntries(least.filter(([, value]) => Number.isFinite(value)));
}

async function mustBeThere(preset: Preset, program: string | undefined, searchPath: string): Promise<void> {
  if (!program)
    throw new BatonError("INVALID_ARGUMENT", `Preset "${preset.key}" names no agent: give config.command, the argv of an ACP agent.`, {
      field: "config.command",
    });
  if ((await findProgram(program, searchPath)) !== null) return;
  const install = program === preset.config.command?.[0] ? installHint(preset.providerType) : null;
  throw new BatonError(
    "PROVIDER_UNAVAILABLE",
    `"${program}" is not installed on this machine (not on PATH): ${install ? `run "${install}"` : "install it"}, or use another preset than "${preset.key}".`,
    {
      field: "launcherConfigKey",
      next: [
        { tool: "pm_provider", args: { action: "list_providers" }, why: "which agents are here, and what to install" },
        { tool: "pm_provider", args: { action: "test_preset", key: preset.key }, why: "try it again after that" },
      ],
    },
  );
}
