import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import type { LaunchSpec } from "../contracts/provider.ts";
import type { SessionRow, TurnConfiguration } from "../store/rows.ts";
import type { HostDeps } from "./deps.ts";

const scriptedAgent = join(import.meta.dirname, "..", "scripted-agent", "main.ts");

/** What the session's stored launch settings, and those of one turn, come to on this host. `hash` changes when an agent must be started anew. */
export async function launchSpec(
  deps: HostDeps,
  session: SessionRow,
  runnerId: string,
  configuration?: TurnConfiguration | null,
): Promise<{ launch: LaunchSpec; hash: string }> {
  const effective = session.args["effective"] as EffectiveLaunch;
  const home = join(deps.config.home, "agents", session.sessionUlid);
  const scripted = effective.providerType === "scripted";
  if (scripted) await mkdir(home, { recursive: true, mode: 0o700 });
  const referenced = referencedEnv(effective, deps.resolveSecret);
  const env: Record<string, string> = { ...deps.agentEnv, ...referenced };
  if (scripted) Object.assign(env, { HOME: home }, scenarioEnv(effective.scenario));
  const remembered = (await deps.store.approvals.remembered(session.sessionUlid)).map(({ grantKey, approvalId }) => ({ grantKey, approvalId }));
  // No part of the hash: they grow with every turn.
  const resumed = session.providerSessionId
    ? { resume: session.providerSessionId, costBefore: (await deps.store.sessions.conversation(session.sessionUlid)).costMicros }
    : {};
  const model = configuration?.model ?? effective.model;
  const command = scripted ? [process.execPath, scriptedAgent] : [...(effective.command ?? [])];
  const launch: LaunchSpec = {
    sessionUlid: session.sessionUlid,
    runnerId,
    provider: effective.providerType,
    command: [...(effective.wrapper ?? []), ...command],
    cwd: session.worktreePath,
    env,
    ...(model ? { model } : {}),
    ...(session.systemPrompt ? { systemPrompt: session.systemPrompt } : {}),
    ...resumed,
    permissionMode: configuration?.mode ?? effective.permissions.mode,
    ...(effective.permissions.outsideWorkspace ? { outsideWorkspace: effective.permissions.outsideWorkspace } : {}),
    ...(effective.permissions.rules ? { permissionRules: effective.permissions.rules } : {}),
    ...(remembered.length > 0 ? { remembered } : {}),
    ...(effective.tools ? { tools: effective.tools } : {}),
    ...(effective.limits?.costMicros === undefined ? {} : { reportCost: true as const }),
    stallMs: deps.config.stallMs,
    secrets: Object.values(referenced),
  };
  const rules = launch.permissionRules || launch.outsideWorkspace ? [launch.permissionRules ?? [], launch.outsideWorkspace ?? ""] : [];
  const more = [...rules, ...(launch.tools ? [launch.tools] : [])];
  const identity = [launch.command, launch.model ?? "", launch.permissionMode, effective.env ?? [], session.presetRevision, ...more];
  return { launch, hash: createHash("sha256").update(JSON.stringify(identity)).digest("hex") };
}

function scenarioEnv(scenario: unknown): Record<string, string> {
  return typeof scenario === "string" ? { BATON_SCENARIO_FILE: scenario } : { BATON_SCENARIO: JSON.stringify(scenario ?? { turns: [[]] }) };
}

/** Secrets are names until here: the value is read at spawn and stored nowhere. */
function referencedEnv(effective: EffectiveLaunch, resolve: (ref: string) => string | undefined): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name, valueRef } of effective.env ?? []) {
    const value = resolve(valueRef);
    if (value !== undefined) found[name] = value;
  }
  return found;
}
