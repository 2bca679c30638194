import { join } from "node:path";
import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import { pmStatus, sessionState } from "../contracts/session-status.ts";
import type { NewSession, SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { chainConfig, planChain } from "./launch-chain.ts";
import { type LaunchArgs, type LaunchPlan, planLaunch } from "./launch-plan.ts";
import { actorOf, requestKey, storedAnswer } from "./requests.ts";
import { loadFacts } from "./session-view.ts";
import { sessionArgs, type StoredArgs } from "./start-workflow.ts";
import { supersedeIdle } from "./supersede.ts";
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
  const earlier = await storedAnswer<LaunchIds>(store, key);
  if (earlier) return started(deps, store, earlier, true, []);
  const plan = await planLaunch(deps, store, args);
  if (args.chain && (action === "start" || args.run === false))
    throw new BatonError("INVALID_ARGUMENT", "A chain runs at once: leave run out.", { field: "run" });
  const roles = args.chain ? await planChain(deps, args.chain) : null;

  const actor = actorOf(caller, { ...args });
  let superseded: SessionRow | null = null;
  const { ids, replayed } = await store.recordRequest<LaunchIds>(key, { principal: caller.principal, actor, action, target: plan.contextRef }, async (tx) => {
    const sessionUlid = ulid();
    superseded = await supersedeIdle(store, tx, plan);
    if (plan.newTask) await store.tasks.insert(tx, plan.newTask);
    const chainId = roles ? ulid() : null;
    const workflowId = workflowIdFor({ principal: caller.principal, key: key.key, sessionUlid: chainId ?? sessionUlid });
    const runs = args.run !== false && action === "launch_task" && plan.prompt !== "";
    const inputId = runs ? ulid() : undefined;
    const stored: StoredArgs = {
      sent: { ...args },
      fingerprint: key.fingerprint,
      effective: plan.effective,
      ...(inputId ? { inputId } : plan.prompt === "" ? {} : { firstPrompt: plan.prompt }),
    };
    const row = await store.sessions.insert(tx, {
      ...newSession(deps, plan, args),
      sessionUlid,
      name: `${plan.contextRef.replace(/^TASK-/, "")}/${plan.role}-${await store.sessions.nextOrdinal(tx, plan.contextRef, plan.role)}`,
      workflowId: chainId ? `${workflowId}/executor` : workflowId,
      principal: caller.principal,
      clientRequestId: key.key,
      actor,
      launchReason: action,
      // The next one goes on where the former one stopped.
      baseRef: superseded?.candidate?.commit ?? plan.baseRef,
      args: { ...stored },
      worktreePath: join(deps.options.home, "worktrees", sessionUlid),
      parentUlid: null,
      chainId,
    });
    if (inputId)
      await store.inputs.insert(tx, {
        inputId,
        sessionUlid,
        prompt: plan.prompt,
        delivery: "queue",
        source: actor,
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
        turnDeadlineSeconds: args.chain?.turnDeadlineSeconds ?? 14_400,
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

/** Starts what is not started yet, then renders the answer from rows. */
async function started(deps: Deps, store: Store, ids: LaunchIds, replayed: boolean, warnings: string[]): Promise<Launched> {
  let row = await mustGet(store, ids.sessionUlid);
  const chain = ids.chainId ? await store.chains.get(ids.chainId) : null;
  // A chain that ended or a session that closed was started once, or failed as never started: never again.
  if (chain && chain.startedAt === null && chain.state === "open") await deps.starter.chain(chain);
  else if (!chain && row.startedAt === null && row.closedAt === null) await deps.starter.session(row);
  row = await mustGet(store, ids.sessionUlid);
  const [{ facts }, head] = await Promise.all([loadFacts(store, row), store.events.head(row.sessionUlid)]);
  const { state } = sessionState(facts);
  // A launch answers from the beginning of the session's story, so that a caller misses nothing that happened meanwhile.
  const data = {
    sessionUlid: row.sessionUlid,
    name: row.name,
    workflowId: chain?.workflowId ?? row.workflowId,
    contextRef: row.contextRef,
    taskKey: row.taskKey,
    providerType: row.provider,
    targetAgentHandle: row.agentHandle,
    worktreePath: row.worktreePath,
    branchName: row.branchName,
    workspace: row.workspace,
    status: pmStatus(state),
    state,
    cursors: { events: 0, deltas: 0 },
    nextSeq: 0,
    lastSeq: head?.lastSeq ?? row.lastSeq,
    ...(ids.chainId ? { chainId: ids.chainId } : {}),
    ...(row.purge ? { purgedAt: row.purgedAt ?? row.purge.at } : {}),
    ...(replayed ? { replayed: true } : {}),
  };
  return { data, replayed, warnings };
}

function newSession(
  deps: Deps,
  plan: LaunchPlan,
  args: LaunchArgs,
): Pick<
  NewSession,
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
  | "labels"
> {
  return {
    contextRef: plan.contextRef,
    taskKey: plan.task?.taskKey ?? plan.newTask?.taskKey ?? null,
    projectKey: plan.task?.projectKey ?? plan.newTask?.projectKey ?? null,
    role: plan.role,
    provider: plan.effective.providerType,
    agentHandle: plan.agentHandle,
    launcherConfigKey: plan.preset.key,
    presetRevision: plan.preset.revision,
    presetSha256: plan.preset.sha256,
    hostId: deps.options.hostId,
    repositoryPath: plan.repositoryPath,
    branchName: plan.branch,
    systemPrompt: plan.systemPrompt,
    labels: args.labels ?? {},
  };
}

async function mustGet(store: Store, sessionUlid: string): Promise<SessionRow> {
  const row = await store.sessions.get(sessionUlid);
  if (!row) throw new BatonError("NOT_FOUND", `Session ${sessionUlid} was purged.`);
  return row;
}
