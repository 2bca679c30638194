import { join } from "node:path";
import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import type { NewSession, SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { countLaunch } from "./agent-launch.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { dryRun } from "./dry-run.ts";
import { chainConfig } from "./launch-chain.ts";
import { baseFor, makeRoom, planChecked } from "./launch-checks.ts";
import type { LaunchArgs, LaunchPlan } from "./launch-plan.ts";
import { actorOf, requestKey, sourceOf, storedAnswer } from "./requests.ts";
import { launchedView, loadFacts } from "./session-view.ts";
import { sessionArgs, type StoredArgs } from "./start-workflow.ts";
import { workflowIdFor } from "./workflow-ids.ts";

/** A type, not an interface: it must fit `Record<string, unknown>`. */
export type LaunchIds = { sessionUlid: string; chainId: string | null };
export interface Launched {
  data: Record<string, unknown>;
  replayed: boolean;
  warnings: string[];
}

/** Launches a session (or a chain) once per key. The row is written first, then started by whoever sees it (DESIGN section 4.2, 4.3). */
export async function launch(deps: Deps, caller: Caller, args: LaunchArgs, action: "launch_task" | "start"): Promise<Launched> {
  const store = await deps.getStore();
  const key = requestKey(caller, "create", { action, ...args });
  if (args.dryRun) return dryRun(deps, store, caller, await planChecked(deps, store, caller, args, action));
  const earlier = await storedAnswer<LaunchIds>(store, key);
  if (earlier) return started(deps, store, earlier, true, []);
  const { plan, roles, launcher, baseOf } = await planChecked(deps, store, caller, args, action);

  const actor = actorOf(caller, { ...args });
  let superseded: SessionRow | null = null;
  const { ids, replayed } = await store.recordRequest<LaunchIds>(key, { principal: caller.principal, actor, action, target: plan.contextRef }, async (tx) => {
    const sessionUlid = ulid();
    superseded = await makeRoom(store, tx, plan, caller);
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
      actor,
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
    return { sessionUlid, chainId };
  });
  // The rows are closed; its workflow ends when it hears of it, and the sweeper tells it again.
  if (superseded) await deps.starter.signal((superseded as SessionRow).workflowId, "close", { reason: "superseded" }).catch(() => false);
  return started(deps, store, ids, replayed, plan.warnings);
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

/** Starts what is not started yet, then renders the answer from rows. */
async function started(deps: Deps, store: Store, ids: LaunchIds, replayed: boolean, warnings: string[]): Promise<Launched> {
  let row = await mustGet(store, ids.sessionUlid);
  const chain = ids.chainId ? await store.chains.get(ids.chainId) : null;
  // A chain that ended or a session that closed was started once, or failed as never started: never again.
  if (chain && chain.startedAt === null && chain.state === "open") await deps.starter.chain(chain);
  else if (!chain && row.startedAt === null && row.closedAt === null) await deps.starter.session(row);
  row = await mustGet(store, ids.sessionUlid);
  const [found, head] = await Promise.all([loadFacts(store, row), store.events.head(row.sessionUlid)]);
  // A launch answers from the beginning of the session's story, so that a caller misses nothing that happened meanwhile.
  const data = {
    ...launchedView(found),
    ...(chain ? { workflowId: chain.workflowId } : {}),
    cursors: { events: 0, deltas: 0 },
    nextSeq: 0,
    lastSeq: head?.lastSeq ?? row.lastSeq,
    ...(ids.chainId ? { chainId: ids.chainId } : {}),
    ...(row.purge ? { purgedAt: row.purgedAt ?? row.purge.at } : {}),
    ...(replayed ? { replayed: true } : {}),
  };
  return { data, replayed, warnings };
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

async function mustGet(store: Store, sessionUlid: string): Promise<SessionRow> {
  const row = await store.sessions.get(sessionUlid);
  if (!row) throw new BatonError("NOT_FOUND", `Session ${sessionUlid} was purged.`);
  return row;
}
