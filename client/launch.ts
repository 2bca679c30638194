import { join } from "node:path";
import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import { pmStatus, sessionState } from "../contracts/session-status.ts";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import type { NewSession, SessionRow } from "../store/rows.ts";
import type { Store, Tx } from "../store/store.ts";
import { agentsArgs, countLaunch, launcherOf } from "./agent-launch.ts";
import { type Caller, viewerOf } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { chainConfig, planChain } from "./launch-chain.ts";
import { type LaunchArgs, type LaunchPlan, planLaunch } from "./launch-plan.ts";
import { mustNotWiden } from "./no-wider.ts";
import { actorOf, requestKey, sourceOf, storedAnswer } from "./requests.ts";
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

interface Checked {
  /** `told`: the session that hears of the new one's settling */
  plan: LaunchPlan & { told: string | null };
  roles: Awaited<ReturnType<typeof planChain>> | null;
  /** the session whose agent launches */
  launcher: SessionRow | null;
  /** the session whose tree is the base */
  baseOf: SessionRow | null;
}
/** Rolls a dry run back. */
class Undone extends Error {}

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

/** All that can be refused before the transaction. */
async function planChecked(deps: Deps, store: Store, caller: Caller, args: LaunchArgs, action: "launch_task" | "start"): Promise<Checked> {
  const launcher = await launcherOf(store, caller);
  const agents = launcher && (await agentsArgs(store, launcher, args));
  const plan = await planLaunch(deps, store, caller, agents?.args ?? args);
  if (args.chain && (action === "start" || args.run === false))
    throw new BatonError("INVALID_ARGUMENT", "A chain runs at once: leave run out.", { field: "run" });
  const roles = args.chain ? await planChain(deps, args.chain) : null;
  if (launcher) mustNotWiden(launcher, [{ ...plan, field: "launcherConfigKey" }, ...(roles ? everyRole(roles) : [])], plan.workspace.repositoryPath);
  const base = agents?.baseOf ? await store.sessions.get(agents.baseOf) : null;
  const parent = launcher ?? plan.parent;
  if (args.onSettled && !parent)
    throw new BatonError("INVALID_ARGUMENT", "onSettled tells the session that launches: give its parentUlid, or leave onSettled out and wait.", {
      field: "onSettled",
    });
  return {
    plan: { ...plan, told: args.onSettled && parent ? parent.sessionUlid : null },
    roles,
    launcher,
    baseOf: base?.repositoryPath === plan.workspace.repositoryPath ? base : null,
  };
}

/** The next one goes on where the former one stopped, unless the caller says where to start; an agent's launch at the tree it named. */
function baseFor(plan: LaunchPlan, superseded: SessionRow | null, baseOf: SessionRow | null): string {
  const former = plan.workspace.baseAsked ? null : superseded?.candidate?.commit;
  return former ?? baseOf?.candidate?.commit ?? baseOf?.headAtStart ?? plan.workspace.baseRef;
}

/** What a launch would come to. Everything is checked, also what only a transaction can tell; it is rolled back, nothing is made, no key taken. */
async function dryRun(deps: Deps, store: Store, caller: Caller, { plan, roles, launcher, baseOf }: Checked): Promise<Launched> {
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
    providerType: plan.effective.providerType,
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

/** Closes an idle session in the way. Error: CONFLICT_STATE when it works, or another one works in the same repository itself. */
async function makeRoom(store: Store, tx: Tx, plan: LaunchPlan, caller: Caller): Promise<SessionRow | null> {
  const viewer = viewerOf(caller);
  const open = viewer && (await store.sessions.openFor(tx, plan));
  // To take a place is to close who has it: only of one's own, and nothing is said of others.
  if (open && !(await store.reach.rules(tx, viewer, open.sessionUlid)))
    throw new BatonError("CONFLICT_STATE", `Another "${plan.agentHandle}" works on ${plan.contextRef} as ${plan.role}: launch with another agentHandle.`, {
      field: "agentHandle",
      currentState: "open",
    });
  const superseded = await supersedeIdle(store, tx, plan);
  const other = plan.workspace.branch === null ? await store.launches.inRepository(tx, plan.workspace.repositoryPath) : null;
  if (!other) return superseded;
  if (viewer && !(await store.reach.rules(tx, viewer, other.sessionUlid)))
    throw new BatonError("CONFLICT_STATE", `Another session works in ${plan.workspace.repositoryPath} itself, and only one may.`, {
      field: "worktree.disabled",
    });
  throw new BatonError("CONFLICT_STATE", `Session ${other.sessionUlid} (${other.name}) works in ${plan.workspace.repositoryPath} itself, and only one may.`, {
    field: "worktree.disabled",
    currentState: "open",
    next: [
      { tool: "pm_session", args: { action: "input", sessionUlid: other.sessionUlid, prompt: "…" }, why: "give it more to do" },
      { tool: "pm_session", args: { action: "close", sessionUlid: other.sessionUlid }, why: "end it, then launch again" },
    ],
  });
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
    provider: plan.effective.providerType,
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

function everyRole(roles: Awaited<ReturnType<typeof planChain>>): { effective: EffectiveLaunch; field: string }[] {
  const auditor = roles.auditor ? [{ ...roles.auditor, field: "chain.auditor" }] : [];
  return [...roles.reviewers.map((reviewer) => ({ ...reviewer, field: "chain.reviewers" })), ...auditor];
}

async function mustGet(store: Store, sessionUlid: string): Promise<SessionRow> {
  const row = await store.sessions.get(sessionUlid);
  if (!row) throw new BatonError("NOT_FOUND", `Session ${sessionUlid} was purged.`);
  return row;
}
