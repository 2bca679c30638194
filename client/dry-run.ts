import type { SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { countLaunch } from "./agent-launch.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { baseFor, type Checked, makeRoom } from "./launch-checks.ts";
import type { Launched } from "./launch.ts";

/** Rolls a dry run back. */
class Undone extends Error {}

/** What a launch would come to. Everything is checked, also what only a transaction can tell; it is rolled back, nothing is made, no key taken. */
export async function dryRun(deps: Deps, store: Store, caller: Caller, { plan, roles, launcher, baseOf }: Checked): Promise<Launched> {
  let superseded: SessionRow | null = null;
  await store
    .transaction(async (tx) => {
      superseded = await makeRoom(store, tx, plan, caller);
      if (launcher) await countLaunch(deps, store, tx, launcher);
      if (plan.newTask) await store.tasks.insert(tx, plan.newTask, caller.principal);
      throw new Undone();
    })
    .catch((error: unknown) => {
      if (!(error instanceof Undone)) throw error;
    });
  const former = superseded as SessionRow | null;
  const { workspace, preset } = plan;
  const data = {
    dryRun: true,
    contextRef: plan.contextRef,
    taskKey: plan.task?.taskKey ?? plan.newTask?.taskKey ?? null,
    role: plan.role,
    providerType: plan.preset.providerType,
    targetAgentHandle: plan.agentHandle,
    repositoryPath: workspace.repositoryPath,
    branchName: workspace.branch,
    baseRef: baseFor(plan, former, baseOf),
    ...(former ? { supersedes: former.sessionUlid } : {}),
    ...plan.prompt,
    preset: { key: preset.key, revision: preset.revision, sha256: preset.sha256 },
    effective: plan.effective,
    overrides: plan.overrides,
    bootstrapCommands: plan.bootstrap,
    ...(roles ? { chain: { reviewers: roles.reviewers.length, auditor: roles.auditor !== null, maxRounds: roles.maxRounds, gates: roles.gates } } : {}),
  };
  return { data, replayed: false, warnings: plan.warnings };
}
