import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import type { LaunchSpec } from "../contracts/provider.ts";
import type { SessionRow, TurnConfiguration } from "../store/rows.ts";
import type { HostDeps } from "./deps.ts";

const scriptedAgent = join(import.meta.dirname, "..", "scripted-agent", "main.ts");

/** What the session's stored launch settings, and those of one turn, come to on this host: for an agent that is to be started. */
export async function launchSpec(deps: HostDeps, session: SessionRow, runnerId: string, configuration?: TurnConfiguration | null): Promise<LaunchSpec> {
  const effective = effectiveOf(session);
  const home = join(deps.config.home, "agents", session.sessionUlid);
  const scripted = effective.providerType === "scripted";
  if (scripted) await mkdir(home, { recursive: true, mode: 0o700 });
  const referenced = referencedEnv(effective, deps.resolveSecret);
  const env: Record<string, string> = { ...deps.agentEnv, ...referenced };
  if (scripted) Object.assign(env, { HOME: home }, scenarioEnv(effective.scenario));
  const remembered = (await deps.store.approvals.remembered(session.sessionUlid)).map(({ grantKey, approvalId }) => ({ grantKey, approvalId }));
  const resumed = session.providerSessionId
    ? { resume: session.providerSessionId, costBefore: (await deps.store.sessions.conversation(session.sessionUlid)).costMicros }
    : {};
  const { outsideWorkspace, rules, deadlineSeconds, onDeadline = "deny" } = effective.permissions;
  const model = modelOf(effective, configuration);
  return {
    sessionUlid: session.sessionUlid,
    runnerId,
    provider: effective.providerType,
    command: commandOf(effective),
    cwd: session.worktreePath,
    env,
    ...(model ? { model } : {}),
    ...(session.systemPrompt ? { systemPrompt: session.systemPrompt } : {}),
    ...resumed,
    permissionMode: configuration?.mode ?? effective.permissions.mode,
    ...(outsideWorkspace ? { outsideWorkspace } : {}),
    ...(rules ? { permissionRules: rules } : {}),
    ...(remembered.length > 0 ? { remembered } : {}),
    ...(deadlineSeconds === undefined ? {} : { answerWithin: { seconds: deadlineSeconds, onDeadline } }),
    ...(effective.tools ? { tools: effective.tools } : {}),
    ...(effective.limits?.costMicros === undefined ? {} : { reportCost: true as const }),
    stallMs: deps.config.stallMs,
    secrets: Object.values(referenced),
  };
}

/** Changes when what the session and one turn ask for needs another agent than the one that lives. What grows with every turn is no part of it. */
export function launchHash(session: SessionRow, configuration?: TurnConfiguration | null): string {
  const effective = effectiveOf(session);
  const { mode, rules, outsideWorkspace } = effective.permissions;
  const more = [...(rules || outsideWorkspace ? [rules ?? [], outsideWorkspace ?? ""] : []), ...(effective.tools ? [effective.tools] : [])];
  const identity = [
    commandOf(effective),
    modelOf(effective, configuration) ?? "",
    configuration?.mode ?? mode,
    effective.env ?? [],
    session.presetRevision,
    ...more,
  ];
  return createHash("sha256").update(JSON.stringify(identity)).digest("hex");
}

const effectiveOf = (session: SessionRow): EffectiveLaunch => session.args["effective"] as EffectiveLaunch;
const modelOf = (effective: EffectiveLaunch, configuration?: TurnConfiguration | null): string | undefined => configuration?.model ?? effective.model;

function commandOf({ providerType, command, wrapper }: EffectiveLaunch): string[] {
  return [...(wrapper ?? []), ...(providerType === "scripted" ? [process.execPath, scriptedAgent] : (command ?? []))];
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
