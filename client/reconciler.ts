import type { Client, WorkflowExecutionStatusName } from "@temporalio/client";
import { WorkflowNotFoundError } from "@temporalio/client";
import type { ChainRow, SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { repeatedly } from "./repeatedly.ts";
import { callTemporal } from "./temporal.ts";

/** Rows that are looked at in one pass; the next pass goes on behind them. */
const batch = 100;

const over: readonly WorkflowExecutionStatusName[] = ["COMPLETED", "FAILED", "CANCELLED", "TERMINATED", "TIMED_OUT"];
type Seen = "running" | "ended" | "missing";

export interface ReconcilerParts {
  client: Client;
  store: Store;
  /** between the two looks, and between two passes */
  everyMs: number;
  /** how long the keeper of an open turn may take to end it by itself: its token's grace, two looks, the agent's end, the capture */
  keeperMs: number;
  onError?: (error: unknown) => void;
}

/**
 * Ends sessions and chains whose workflow is gone from Temporal (terminated, deleted, or Temporal lost its store): `failed`, `workflow_gone`.
 * Nothing is ever launched again: an input wakes such a session as it wakes any closed one. Run by the engine worker; several at once do no harm.
 */
export function startReconciler(parts: ReconcilerParts): () => Promise<void> {
  return repeatedly(parts.everyMs, createReconcile(parts));
}

/** One pass, as a function that remembers what the passes before it have seen. */
export function createReconcile({ client, store, everyMs, keeperMs, onError = () => {} }: ReconcilerParts): () => Promise<void> {
  /** when a workflow was first seen gone, by its id; ms on the monotonic clock */
  const gone = new Map<string, number>();
  let sessionsAfter = "";
  let chainsAfter = "";

  async function look(workflowId: string): Promise<Seen> {
    try {
      const { status } = await callTemporal(client, () => client.workflow.getHandle(workflowId).describe());
      return over.includes(status.name) ? "ended" : "running";
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return "missing";
      throw error;
    }
  }

  /** True: gone now and gone at a look at least one interval ago. */
  function goneTwice(workflowId: string, isGone: boolean): boolean {
    if (!isGone) gone.delete(workflowId);
    else if (!gone.has(workflowId)) gone.set(workflowId, performance.now());
    return isGone && performance.now() - (gone.get(workflowId) ?? 0) >= everyMs;
  }

  async function chain(row: ChainRow): Promise<void> {
    if (!goneTwice(row.workflowId, (await look(row.workflowId)) !== "running")) return;
    await store.chains.finish(row.chainId, "failed", "workflow_gone");
    gone.delete(row.workflowId);
  }

  async function session(row: SessionRow): Promise<void> {
    const seen = await look(row.workflowId);
    // The rows of a chain's session are there before its chain starts the child: while the chain is open, a child that is not there may still come.
    const mayCome = seen === "missing" && row.generation === 1 && row.chainId !== null && (await store.chains.get(row.chainId))?.state === "open";
    if (!goneTwice(row.workflowId, seen !== "running" && !mayCome)) return;
    if (await keeperEndsIt(row)) return;
    await store.sessions.end({ sessionUlid: row.sessionUlid, generation: row.generation, state: "failed", reason: "workflow_gone" });
    gone.delete(row.workflowId);
  }

  /** A keeper that is there knows more than we do: it stops the agent, keeps what it wrote and captures its work. */
  async function keeperEndsIt(row: SessionRow): Promise<boolean> {
    if (performance.now() - (gone.get(row.workflowId) ?? 0) > keeperMs) return false;
    if ((await store.turns.list(row.sessionUlid)).every((turn) => turn.state === "done")) return false;
    return (await store.hosts.all()).some((host) => host.hostId === row.hostId && host.alive);
  }

  /** At most ten questions to Temporal at once. A failure of one row does not keep the others waiting. */
  async function each<T>(rows: T[], body: (row: T) => Promise<void>): Promise<void> {
    const left = [...rows];
    const worker = async () => {
      for (let row = left.shift(); row !== undefined; row = left.shift()) await body(row).catch(onError);
    };
    await Promise.all(Array.from({ length: 10 }, worker));
  }

  return async () => {
    try {
      // An outage is no evidence: what was seen before it counts no more.
      await callTemporal(client, () => client.workflowService.describeNamespace({ namespace: client.options.namespace }));
      const chains = await store.chains.startedAndOpen({ after: chainsAfter, limit: batch });
      chainsAfter = chains.length < batch ? "" : (chains.at(-1)?.chainId ?? "");
      await each(chains, chain);
      const sessions = await store.sessions.startedAndOpen({ after: sessionsAfter, limit: batch });
      sessionsAfter = sessions.length < batch ? "" : (sessions.at(-1)?.sessionUlid ?? "");
      await each(sessions, session);
    } catch (error) {
      gone.clear();
      onError(error);
    }
  };
}
