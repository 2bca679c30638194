import { join } from "node:path";
import { ulid } from "ulid";
import type { NewSession, SessionRow } from "../store/rows.ts";
import type { RequestKey, Store, Tx } from "../store/store.ts";
import { countLaunch } from "./agent-launch.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { chainConfig } from "./launch-chain.ts";
import { baseFor, type Checked, makeRoom } from "./launch-checks.ts";
import type { LaunchArgs, LaunchPlan } from "./launch-plan.ts";
import { actorOf, sourceOf } from "./requests.ts";
import { sessionArgs, type StoredArgs } from "./start-workflow.ts";
import { workflowIdFor } from "./workflow-ids.ts";

/** A launch as it was asked for. `key`: its request's. */
export interface Asked {
  args: LaunchArgs;
  action: "launch_task" | "start";
  key: RequestKey;
}

/** Writes all that a launch is, in its transaction: room for it, task, session, first input, chain. Errors: BatonError, for what only the transaction can tell. */
export async function insertLaunch(
  deps: Deps,
  store: Store,
  tx: Tx,
  caller: Caller,
  { args, action, key }: Asked,
  { plan, roles, launcher, baseOf }: Checked,
): Promise<{ row: SessionRow; superseded: SessionRow | null }> {
  const sessionUlid = ulid();
  const superseded = await makeRoom(store, tx, plan, caller);
  if (launcher) await countLaunch(deps, store, tx, launcher);
  if (plan.newTask) await store.tasks.insert(tx, plan.newTask, caller.principal);
  const chainId = roles ? ulid() : null;
  const workflowId = workflowIdFor({ principal: caller.principal, key: key.key, sessionUlid: chainId ?? sessionUlid });
  const { firstPrompt } = plan.prompt;
  const inputId = args.run !== false && action === "launch_task" && firstPrompt !== "" ? ulid() : undefined;
  const stored = storedArgs(plan, args, key.fingerprint, inputId);
  const row = await store.sessions.insert(tx, {
    ...newSession(deps, plan, args),
    sessionUlid,
    name: `${plan.contextRef.replace(/^TASK-/, "")}/${plan.role}-${await store.sessions.nextOrdinal(tx, plan.contextRef, plan.role)}`,
    workflowId: chainId ? `${workflowId}/executor` : workflowId,
    principal: caller.principal,
    clientRequestId: key.key,
    actor: actorOf(caller, { ...args }),
    launchReason: action,
    baseRef: baseFor(plan, superseded, baseOf),
    args: { ...stored, ...(baseOf && !superseded ? { baseOf: baseOf.sessionUlid } : {}) },
    worktreePath: plan.workspace.branch === null ? plan.workspace.repositoryPath : join(deps.options.home, "worktrees", sessionUlid),
    parentUlid: launcher?.sessionUlid ?? plan.parent?.sessionUlid ?? null,
    chainId,
  });
  if (plan.told) await store.settles.watch(tx, { sessionUlid, parentUlid: plan.told, chainId });
  const { promptMode, sections } = plan.prompt;
  await store.launches.insert(tx, { sessionUlid, firstPrompt, promptMode, sections, overrides: plan.overrides, bootstrap: plan.bootstrap });
  if (inputId)
    await store.inputs.insert(tx, {
      inputId,
      sessionUlid,
      prompt: firstPrompt,
      delivery: "queue",
      source: sourceOf(caller, { ...args }),
      requestId: null,
      limit: deps.options.inputQueue,
    });
  // A hint, lost without harm: the host makes the workspace while Temporal routes the first task.
  if (inputId) await store.hosts.post(tx, { hostId: row.hostId, kind: "prepare", sessionUlid, body: {} });
  if (roles && chainId) {
    const config = chainConfig(roles, {
      chainId,
      workflowId,
      taskKey: args.taskKey,
      executor: sessionArgs(deps.options, row, inputId),
      turnDeadlineSeconds: args.chain?.turnDeadlineSeconds ?? 86_400,
    });
    await store.chains.insert(tx, {
      chainId,
      workflowId,
      taskKey: args.taskKey,
      principal: caller.principal,
      config: { ...config },
      executorUlid: sessionUlid,
    });
  }
  return { row, superseded };
}

function storedArgs(plan: LaunchPlan, args: LaunchArgs, fingerprint: string, inputId: string | undefined): StoredArgs {
  const { template } = plan.workspace;
  const workspace = { ...(template ? { template } : {}), ...(plan.bootstrap.length > 0 ? { bootstrap: plan.bootstrap } : {}) };
  return {
    sent: { ...args },
    fingerprint,
    effective: plan.effective,
    ...(inputId ? { inputId } : plan.prompt.firstPrompt === "" ? {} : { firstPrompt: plan.prompt.firstPrompt }),
    ...(Object.keys(workspace).length > 0 ? { workspace } : {}),
  };
}

type Planned =
  | "contextRef"
  | "taskKey"
  | "projectKey"
  | "role"
  | "provider"
  | "agentHandle"
  | "launcherConfigKey"
  | "presetRevision"
  | "presetSha256"
  | "hostId"
  | "repositoryPath"
  | "branchName"
  | "systemPrompt"
  | "labels";

function newSession(deps: Deps, plan: LaunchPlan, args: LaunchArgs): Pick<NewSession, Planned> {
  return {
    contextRef: plan.contextRef,
    taskKey: plan.task?.taskKey ?? plan.newTask?.taskKey ?? null,
    projectKey: plan.projectKey,
    role: plan.role,
    provider: plan.preset.providerType,
    agentHandle: plan.agentHandle,
    launcherConfigKey: plan.preset.key,
    presetRevision: plan.preset.revision,
    presetSha256: plan.preset.sha256,
    hostId: deps.options.hostId,
    repositoryPath: plan.workspace.repositoryPath,
    branchName: plan.workspace.branch,
    systemPrompt: plan.prompt.systemPrompt,
    labels: args.labels ?? {},
  };
}
