import { type Client, WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError } from "@temporalio/client";
import { defineSearchAttributeKey, TypedSearchAttributes } from "@temporalio/common";
import { BatonError } from "../contracts/failures.ts";
import { type ChainArgs, engineQueue, hostQueue, type SessionArgs, signalNames, workflowTypes } from "../contracts/messages.ts";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import type { ChainRow, SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { callTemporal, refusalOf } from "./temporal.ts";
import { inTurnOrder } from "./turn-order.ts";

/** Starts workflows and sends them Signals. Every method may be repeated by anybody at any time. */
export interface Starter {
  /** Starts the session's current generation and marks it started. Its first input is the stored one; a later generation takes all that waits. */
  session(row: SessionRow): Promise<void>;
  /** Starts a chain and marks it and its executor started. */
  chain(chain: ChainRow): Promise<void>;
  /** false: there is no running workflow of this id */
  signal(workflowId: string, name: keyof typeof signalNames, body: object): Promise<boolean>;
}

/** What the door stores in `SessionRow.args` (sessions that a chain opened have `effective` only). `inputId`: the first input; `firstPrompt`: composed, but not asked for yet; `baseOf`: the session whose tree the workspace begins with. */
export interface StoredArgs {
  sent?: Record<string, unknown>;
  fingerprint?: string;
  effective: EffectiveLaunch;
  inputId?: string;
  firstPrompt?: string;
  /** the session whose tree, as it is when the workspace is made, is the base */
  baseOf?: string;
  /** what the host does in the fresh workspace: lays a commit's files over it, runs lines for the shell */
  workspace?: { template?: string; bootstrap?: string[] };
}

export interface StarterOptions {
  instance: string;
  hostBeatTimeoutMs: number;
  turnAttempts: number;
}

/** A session workflow's arguments, the same whoever computes them. */
export function sessionArgs(
  options: StarterOptions,
  row: Pick<SessionRow, "sessionUlid" | "generation" | "hostId" | "name" | "provider" | "chainId" | "args">,
  inputId: string | undefined,
): SessionArgs {
  const idleCloseMs = (row.args as Partial<StoredArgs>).effective?.sessionIdleCloseMs;
  return {
    sessionUlid: row.sessionUlid,
    generation: row.generation,
    hostQueue: hostQueue(options.instance, row.hostId),
    summary: `${row.name} (${row.provider})`,
    beatTimeoutMs: options.hostBeatTimeoutMs,
    turnAttempts: options.turnAttempts,
    workspaceIn: "turn",
    signals: "inOrder",
    // A chain closes its own.
    ...(idleCloseMs === undefined || (row.chainId !== null && row.generation === 1) ? {} : { idleCloseMs }),
    ...(inputId === undefined ? {} : { inputId }),
  };
}

/** Which Signals the sweeper sends again when they did not reach their workflow. */
const isRepeated: Record<keyof typeof signalNames, boolean> = { input: true, answered: true, turnEnded: true, abort: false, close: false };
const unheard =
  "Temporal does not answer, and nothing was told to stop. Repeat the call with the same clientRequestId: it hits what it was meant for, however late.";

const keyword = (name: string) => defineSearchAttributeKey(name, "KEYWORD");

/** Whoever sees a row that is not started starts it: the door that wrote it, one that replays it, the sweeper. `getStore` may reject with UNAVAILABLE. */
export function createStarter(a: { client: Client; getStore: () => Promise<Store>; options: StarterOptions }): Starter {
  const inTurn = atMost(10);

  /** The run's id. */
  async function start(s: { type: string; workflowId: string; row: SessionRow; args: SessionArgs | ChainArgs; chainId?: string }): Promise<string> {
    const stored = s.row.args as unknown as StoredArgs;
    const attributes = [
      { key: keyword("BatonSession"), value: s.row.sessionUlid },
      { key: keyword("BatonTask"), value: s.row.taskKey ?? s.row.contextRef },
      { key: keyword("BatonRole"), value: s.chainId ? "chain" : s.row.role },
      ...(s.chainId ? [{ key: keyword("BatonChain"), value: s.chainId }] : []),
    ];
    try {
      const started = await inTurn(() =>
        callTemporal(a.client, () =>
          a.client.workflow.start(s.type, {
            workflowId: s.workflowId,
            taskQueue: engineQueue(a.options.instance),
            args: [s.args],
            workflowIdReusePolicy: "REJECT_DUPLICATE",
            workflowIdConflictPolicy: "FAIL",
            memo: { sessionUlid: s.row.sessionUlid, fingerprint: stored.fingerprint ?? "" },
            staticSummary: s.args.summary,
            staticDetails: `Session ${s.row.sessionUlid} (${s.row.name}) on branch ${s.row.branchName ?? "(detached)"}`,
            typedSearchAttributes: new TypedSearchAttributes(attributes as never),
          }),
        ),
      );
      return started.firstExecutionRunId;
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
      // Our own start whose answer was lost, or another door that saw the same row: success. Anybody else's workflow is not.
      const found = await callTemporal(a.client, () => a.client.workflow.getHandle(s.workflowId).describe());
      if (found.memo?.["sessionUlid"] !== s.row.sessionUlid) {
        await giveUp(s.row, s.chainId);
        throw new BatonError("CONFLICT_STATE", `A workflow "${s.workflowId}" that is not this session's exists in Temporal: use another clientRequestId.`, {
          field: "clientRequestId",
        });
      }
      return found.runId;
    }
  }

  /** Kept, the rows would hold the task's place, and what is sent to them would reach the workflow that has their name. */
  async function giveUp({ sessionUlid, generation }: SessionRow, chainId: string | undefined): Promise<void> {
    const store = await a.getStore();
    const reason = "workflow_id_taken";
    await store.sessions.failUnstarted({ sessionUlid, generation, reason });
    if (chainId !== undefined) await store.chains.finish(chainId, "failed", reason);
  }

  const tell: Starter["signal"] = async (workflowId, name, body) => {
    const handle = a.client.workflow.getHandle(workflowId);
    const say = isRepeated[name] ? undefined : unheard;
    try {
      await callTemporal(a.client, () => handle.signal(signalNames[name], body), say);
      return true;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      const refusal = refusalOf(error);
      if (refusal === null) throw error;
      if (name !== "close")
        throw new BatonError(
          "LIMIT_EXCEEDED",
          `Temporal takes no more Signals for this run of the workflow (${refusal}). Close the session: that needs none, and an input lets it go on as its next generation.`,
        );
      // A cancel is no Signal, and means the same.
      await callTemporal(a.client, () => handle.cancel(), say);
      return true;
    }
  };

  return {
    session: async (row) => {
      const store = await a.getStore();
      const args =
        row.generation === 1
          ? sessionArgs(a.options, row, (row.args as unknown as StoredArgs).inputId)
          : { ...sessionArgs(a.options, row, undefined), carried: { queue: await waiting(store, row), seen: [], workspaceReady: false, turns: 0 } };
      const runId = await start({ type: workflowTypes.session, workflowId: row.workflowId, row, args });
      const closed = await store.sessions.markStarted(row.sessionUlid, row.generation, runId);
      // Whoever closed it found no workflow to tell.
      if (closed !== null) await tell(row.workflowId, "close", { reason: closed });
    },
    chain: async (chain) => {
      const store = await a.getStore();
      const row = await store.sessions.get(chain.executorUlid);
      if (!row) throw new BatonError("NOT_FOUND", `Chain ${chain.chainId} has lost its executor session.`);
      const runId = await start({
        type: workflowTypes.chain,
        workflowId: chain.workflowId,
        row,
        args: chain.config["args"] as ChainArgs,
        chainId: chain.chainId,
      });
      await store.chains.markStarted(chain.chainId, runId);
    },
    signal: tell,
  };
}

/** All that waits for a woken session, in the order in which it would have run: a Signal for each could overtake another's. */
async function waiting(store: Store, row: SessionRow): Promise<string[]> {
  return inTurnOrder(await store.inputs.pending(row.sessionUlid)).map((input) => input.inputId);
}

/** A local Temporal falls behind when more starts than this are in flight (DESIGN section 11). */
function atMost(limit: number): <T>(body: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (body) => {
    if (running >= limit) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      return await body();
    } finally {
      // The slot goes to the next one directly: nobody can slip in between.
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
