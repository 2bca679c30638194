import { join } from "node:path";
import { ulid } from "ulid";
import type { Config } from "../contracts/config.schema.ts";
import { BatonError } from "../contracts/failures.ts";
import { hostQueue } from "../contracts/messages.ts";
import type { SessionArgs } from "../contracts/messages.ts";
import type { ChainRow, NewSession, SessionRow } from "../store/rows.ts";
import type { Store, Tx } from "../store/store.ts";
import { roleConfig } from "./chain-config.ts";
import { present } from "./failure.ts";

export interface RoleRequest {
  chainId: string;
  role: "reviewer" | "auditor";
  n: number;
}

/** The session of the n-th of a role: made once, by the request's key, even when two tries run at once. Error: CONFLICT_STATE when it was closed before it began. */
export async function openRoleSession({ store, config }: { store: Store; config: Config }, a: RoleRequest): Promise<{ workflowId: string; args: SessionArgs }> {
  const chain = present(await store.chains.get(a.chainId), `Chain ${a.chainId}`);
  const executor = present(await store.sessions.get(chain.executorUlid), `Session ${chain.executorUlid}`);
  const actor = `chain:${a.chainId}`;
  const { ids } = await store.recordRequest(
    { principal: chain.principal, scope: "chain-role", key: `${a.chainId}/${a.role}/${a.n}`, fingerprint: "chain-role.1" },
    { principal: chain.principal, actor, action: "chain.open_role", target: a.chainId, detail: { role: a.role, n: a.n } },
    async (tx) => ({ sessionUlid: (await store.sessions.insert(tx, await newSession(store, tx, config, chain, executor, a))).sessionUlid }),
  );
  const row = present(await store.sessions.get(ids.sessionUlid), `Session ${ids.sessionUlid}`);
  // The chain's is the first generation, also in a later round in which it is over, or goes on without the chain.
  const closed = await store.sessions.markStarted(row.sessionUlid, 1);
  // A child would find no session, and say only that.
  if (closed !== null && row.generation === 1 && row.startedAt === null)
    throw new BatonError("CONFLICT_STATE", `The ${a.role}'s session was closed before it began (${closed}).`, { currentState: "closed" });
  return { workflowId: workflowIdOf(chain, a), args: sessionArgs(config, chain, { ...row, generation: 1 }) };
}

const workflowIdOf = (chain: ChainRow, { role, n }: RoleRequest): string => `${chain.workflowId}/${role}/${n}`;

async function newSession(store: Store, tx: Tx, config: Config, chain: ChainRow, executor: SessionRow, asked: RoleRequest): Promise<NewSession> {
  const { role, n } = asked;
  const role_ = roleConfig(chain, role, n);
  const sessionUlid = ulid();
  // Another chain for the same task may have had its own reviewer 1.
  const ordinal = await store.sessions.nextOrdinal(tx, executor.contextRef, role);
  const hostId = executor.hostId;
  const name = `${chain.taskKey}/${role}-${ordinal}`;
  return {
    sessionUlid,
    name,
    workflowId: workflowIdOf(chain, asked),
    principal: chain.principal,
    clientRequestId: null,
    contextRef: executor.contextRef,
    taskKey: chain.taskKey,
    projectKey: executor.projectKey,
    role,
    provider: role_.provider,
    agentHandle: role_.agentHandle,
    actor: `chain:${chain.chainId}`,
    launcherConfigKey: role_.launcherConfigKey,
    presetRevision: role_.presetRevision,
    presetSha256: role_.presetSha256,
    // The candidate is a commit in the executor's repository: who judges it works on the same host.
    hostId,
    repositoryPath: executor.repositoryPath,
    worktreePath: join(config.home, "worktrees", sessionUlid),
    branchName: null,
    baseRef: chain.candidate?.commit ?? executor.headAtStart ?? executor.baseRef,
    systemPrompt: "",
    // The same shape that a door stores: a later generation starts from it.
    args: {
      sent: {},
      fingerprint: "chain-role.1",
      effective: role_.effective,
      session: sessionArgs(config, chain, { sessionUlid, generation: 1, hostId, name, provider: role_.provider }),
      chainRole: { role, n },
    },
    labels: {},
    launchReason: `${role} of chain ${chain.chainId}`,
    parentUlid: executor.sessionUlid,
    chainId: chain.chainId,
  };
}

function sessionArgs(config: Config, chain: ChainRow, row: Pick<SessionRow, "sessionUlid" | "generation" | "hostId" | "name" | "provider">): SessionArgs {
  return {
    sessionUlid: row.sessionUlid,
    generation: row.generation,
    hostQueue: hostQueue(config.instance, row.hostId),
    chainWorkflowId: chain.workflowId,
    summary: `${row.name} (${row.provider})`,
    beatTimeoutMs: config.hostBeatTimeoutMs,
    turnAttempts: config.turnAttempts,
    workspaceIn: "turn",
    signals: "inOrder",
  };
}
