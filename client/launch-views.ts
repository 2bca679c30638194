import type { BatonEvent } from "../contracts/event.ts";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import { acpCapabilities } from "../contracts/provider.ts";
import { worksInRepository } from "../contracts/workspaces.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { cutParts } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { findSession } from "./requests.ts";
import type { StoredArgs } from "./start-workflow.ts";

export interface ViewArgs {
  sessionUlid: string;
  maxBytes?: number;
  /** nothing is cut: the resources' own, no argument of a caller's */
  whole?: boolean;
}
type Data = Record<string, unknown>;

/** The prompts that the session's agent really got, and of what they were made. */
export async function promptView(deps: Deps, args: ViewArgs): Promise<Data> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  return bounded(
    { sessionUlid: row.sessionUlid, ...(await promptOf(store, row)) },
    ["systemPrompt", "firstPrompt"],
    `session://${row.sessionUlid}/prompt`,
    args,
  );
}

/** What the session was launched with: its preset, what that came to, and where the launch differs from it. Environment by reference only. */
export async function configView(deps: Deps, args: ViewArgs): Promise<Data> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  const launch = await store.launches.get(row.sessionUlid);
  const { env, ...effective } = effectiveOf(row);
  const data = { sessionUlid: row.sessionUlid, preset: presetOf(row), effective, overrides: launch?.overrides ?? [], env: env ?? [] };
  return bounded(data, ["effective"], `session://${row.sessionUlid}/config`, args);
}

/** All that a session is bound to: prompt, tools, workspace, provider, permissions, limits, bootstrap commands, lineage. */
export async function specView(deps: Deps, args: ViewArgs): Promise<Data> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  const [{ promptMode, sections, systemPrompt, firstPrompt }, launch, agents, remembered] = await Promise.all([
    promptOf(store, row),
    store.launches.get(row.sessionUlid),
    store.events.read(row.sessionUlid, { sinceSeq: 0, limit: 1_000, types: ["session.agent_ready"] }),
    store.approvals.remembered(row.sessionUlid),
  ]);
  const { env, ...effective } = effectiveOf(row);
  const data = {
    sessionUlid: row.sessionUlid,
    prompt: { promptMode, sections, bytes: { systemPrompt: Buffer.byteLength(systemPrompt), firstPrompt: Buffer.byteLength(firstPrompt) } },
    tools: effective.tools ?? null,
    worktree: worktreeOf(row),
    provider: { type: row.provider, ...agentOf(agents), capabilities: acpCapabilities },
    permissions: {
      ...effective.permissions,
      ...(remembered.length > 0 ? { remembered: remembered.slice(0, 50).map(({ approvalId, title, by, at }) => ({ approvalId, title, by, at })) } : {}),
    },
    preset: presetOf(row),
    effective,
    env: env ?? [],
    overrides: launch?.overrides ?? [],
    limits: effective.limits,
    bootstrapCommands: launch?.bootstrap ?? [],
    lineage: { launchReason: row.launchReason, actor: row.actor, parentUlid: row.parentUlid, chainId: row.chainId, generation: row.generation },
  };
  return bounded(data, ["effective"], `session://${row.sessionUlid}/spec`, args);
}

interface StoredPrompt {
  systemPrompt: string;
  firstPrompt: string;
  promptMode: string;
  sections: unknown[];
}

/** A session that a chain opened was told its task by the chain's first input. */
async function promptOf(store: Store, row: SessionRow): Promise<StoredPrompt> {
  const launch = await store.launches.get(row.sessionUlid);
  if (launch) return { systemPrompt: row.systemPrompt, firstPrompt: launch.firstPrompt, promptMode: launch.promptMode, sections: launch.sections };
  const first = await store.launches.firstInput(row.sessionUlid);
  const promptMode = row.role === "auditor" ? "audit" : row.role === "reviewer" ? "review" : "minimal";
  return { systemPrompt: row.systemPrompt, firstPrompt: first ?? "", promptMode, sections: [] };
}

function worktreeOf(row: SessionRow): Data {
  const { sent, workspace } = row.args as unknown as StoredArgs;
  const policy = worksInRepository(row) ? "repository" : row.branchName === null ? "detached" : "branch";
  return {
    policy,
    asked: sent?.["worktree"] ?? {},
    repositoryPath: row.repositoryPath,
    worktreePath: row.worktreePath,
    branchName: row.branchName,
    baseRef: row.baseRef,
    headAtStart: row.headAtStart,
    template: workspace?.template ?? null,
    state: row.workspace,
  };
}

/** The agent as it named itself at its latest start. */
function agentOf(events: BatonEvent[]): Data {
  const ready = events.at(-1)?.data as { agent?: { name: string; version: string } } | undefined;
  return { name: ready?.agent?.name ?? null, version: ready?.agent?.version ?? null };
}

const effectiveOf = (row: SessionRow): EffectiveLaunch => (row.args as unknown as StoredArgs).effective;
const presetOf = (row: SessionRow): Data => ({ key: row.launcherConfigKey, revision: row.presetRevision, sha256: row.presetSha256 });

function bounded(data: Data, parts: string[], resource: string, { maxBytes, whole }: ViewArgs): Data {
  return whole ? data : cutParts(data, parts, { resource, ...(maxBytes === undefined ? {} : { maxBytes }) });
}
