import type { SessionRow } from "../store/rows.ts";
import { cutParts } from "./bounded.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { insertLaunch } from "./insert-launch.ts";
import { planChecked } from "./launch-checks.ts";
import type { LaunchArgs } from "./launch-plan.ts";
import type { Launched, LaunchIds } from "./launch.ts";
import { requestKey, storedAnswer } from "./requests.ts";

/** Rolls a dry run back. */
class Undone extends Error {}

/**
 * What a launch would come to. It is made and rolled back: what only a transaction can tell is told, nothing stays, no key is taken. A key
 * that is taken answers as it would: with what it made, or IDEMPOTENCY_MISMATCH. Long parts are cut or said by their size alone.
 */
export async function dryRun(deps: Deps, caller: Caller, asked: LaunchArgs, action: "launch_task" | "start"): Promise<Launched> {
  const store = await deps.getStore();
  const { dryRun: _, ...args } = asked;
  const key = requestKey(caller, "create", { action, ...args });
  const earlier = await storedAnswer<LaunchIds>(store, key);
  if (earlier) {
    const { warnings = [], ...ids } = earlier;
    return { data: { dryRun: true, replayed: true, ...ids }, replayed: true, warnings };
  }
  const checked = await planChecked(deps, store, caller, args, action);
  const { plan, roles } = checked;
  const made: { row?: SessionRow; superseded?: SessionRow | null } = {};
  await store
    .transaction(async (tx) => {
      Object.assign(made, await insertLaunch(deps, store, tx, caller, { args, action, key }, checked));
      throw new Undone();
    })
    .catch((error: unknown) => {
      if (!(error instanceof Undone)) throw error;
    });
  const { workspace, preset } = plan;
  const data = {
    dryRun: true,
    contextRef: plan.contextRef,
    taskKey: plan.task?.taskKey ?? plan.newTask?.taskKey ?? null,
    role: plan.role,
    providerType: plan.preset.providerType,
    targetAgentHandle: plan.agentHandle,
    repositoryPath: workspace.repositoryPath,
    branchName: made.row?.branchName ?? null,
    baseRef: made.row?.baseRef,
    ...(made.superseded ? { supersedes: made.superseded.sessionUlid } : {}),
    ...plan.prompt,
    preset: { key: preset.key, revision: preset.revision, sha256: preset.sha256 },
    effective: plan.effective,
    overrides: plan.overrides,
    bootstrapCommands: plan.bootstrap,
    ...(roles ? { chain: { reviewers: roles.reviewers.length, auditor: roles.auditor !== null, maxRounds: roles.maxRounds, gates: roles.gates } } : {}),
  };
  const long = ["systemPrompt", "firstPrompt", "sections", "effective", "overrides", "bootstrapCommands"];
  return { data: cutParts(data, long), replayed: false, warnings: plan.warnings };
}
