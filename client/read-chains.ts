import type { ChainConfig } from "../contracts/chain-config.ts";
import { noUsage, type Usage } from "../contracts/event.ts";
import { BatonError } from "../contracts/failures.ts";
import type { ChainRow, FactsRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Deps } from "./deps.ts";

/** A chain with its sessions, gates and verdicts. Error: NOT_FOUND. */
export async function getChain(deps: Deps, chainId: string): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const found = await store.chains.get(chainId);
  if (!found) throw new BatonError("NOT_FOUND", `There is no chain "${chainId}".`, { field: "chainId" });
  return chainView(store, found, deps.options.temporalNamespace);
}

export async function chainView(store: Store, chain: ChainRow, namespace: string): Promise<Record<string, unknown>> {
  const { chainId } = chain;
  const [sessions, verdicts] = await Promise.all([store.facts.list({ limit: 50, chainId }), store.chains.verdicts(chainId)]);
  const open = (await store.chainQuestions.open(chainId)).filter(({ kind }) => kind === "gate" || kind === "rounds" || kind === "budget");
  const maxRounds = (chain.config as unknown as ChainConfig).maxRounds + chain.roundsAdded;
  return {
    chainId,
    workflowId: chain.workflowId,
    taskKey: chain.taskKey,
    state: chain.state,
    reason: chain.reason,
    why: chain.why,
    round: chain.round,
    maxRounds,
    candidate: chain.candidate,
    createdAt: chain.createdAt,
    startedAt: chain.startedAt,
    endedAt: chain.endedAt,
    usage: totalUsage(sessions),
    limits: { maxRounds },
    temporal: { namespace, workflowId: chain.workflowId, runId: chain.runId },
    sessions: sessions
      .toReversed()
      .map(({ role, sessionUlid, name, agentHandle, closedAt }) => ({ role, sessionUlid, name, agentHandle, open: closedAt === null })),
    gates: [
      ...chain.gates.map(({ name, passed, why }) => ({ name, state: passed ? "passed" : "failed", why })),
      // What it asks before it ends, or goes on.
      ...open.map(({ kind, title, approvalId }) => ({ name: kind, state: "open", why: title, approvalId })),
    ],
    verdicts: verdicts.map(({ role, sessionUlid, round, decision, score, summary, findings, tree, createdAt }) => ({
      role,
      sessionUlid,
      round,
      decision,
      score,
      summary,
      findings,
      tree,
      stale: chain.candidate !== null && chain.candidate.tree !== tree,
      createdAt,
    })),
  };
}

/** What all sessions of the chain used together. */
function totalUsage(sessions: FactsRow[]): Usage {
  const total = { ...noUsage };
  for (const { turns } of sessions) for (const name of Object.keys(total) as (keyof Usage)[]) total[name] += turns.usage[name];
  return total;
}
