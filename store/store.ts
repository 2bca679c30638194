import type { Pool, PoolClient } from "pg";
import type { BatonEvent, Candidate, Delivery, Delta, NewEvent } from "../contracts/event.ts";
import type { ReachedLimit } from "../contracts/limits.ts";
import type { ChainReason, EndOfSession, GateView } from "../contracts/messages.ts";
import type { PagedEvent } from "./event-pages.ts";
import type { AppendLane, EventFeed } from "./lane.ts";
import type { LaunchStore } from "./launches.ts";
import type { ChainQuestionStore } from "./chain-questions.ts";
import type { LimitStore } from "./limits.ts";
import type { SettleStore } from "./settle-watches.ts";
import type { Lineage } from "./lineage.ts";
import type { ReachStore, Viewer } from "./reach.ts";
import type {
  ApprovalRow,
  AuditEntry,
  ChainRow,
  Cursors,
  FactsRow,
  HeadRow,
  HostInboxRow,
  InputRow,
  Inspection,
  NewSession,
  ProjectRow,
  Purge,
  RunnerRow,
  SessionRow,
  StoredResult,
  TaskRow,
  TurnConfiguration,
  TurnRow,
  VerdictRow,
} from "./rows.ts";
import type { TokenStore } from "./tokens.ts";
import type { TurnWaitStore } from "./turn-waits.ts";

/** A transaction's connection. */
export type Tx = PoolClient;

/** An event without a spool position: `key` is unique in the session, a repeat appends nothing. */
export interface KeyedEvent {
  key: string;
  event: NewEvent;
}

/** Which sessions; `rootUlid` is it and all that it launched, and they. */
export interface FactsFilter {
  limit: number;
  contextRef?: string;
  role?: string;
  agentHandle?: string;
  projectKey?: string;
  parentUlid?: string;
  rootUlid?: string;
  chainId?: string;
  /** the label of this name is there */ label?: string;
  /** labels of these values are there */ labels?: Record<string, string>;
  open?: boolean;
  attention?: boolean;
  oldestFirst?: boolean;
  /** the last session of the page before */ cursor?: string;
  /** whose eyes; absent: everybody's sessions */ reach?: Viewer;
}

export interface RequestKey {
  principal: string;
  scope: string;
  key: string | null;
  fingerprint: string;
  /** the same request's fingerprint by the rule before: keys recorded then still match */
  former?: string;
}

/** Postgres and nothing else. Methods with a `tx` run in the caller's transaction; the others are one transaction each. 40P01, 55P03, 57014 are retried inside; connection trouble is BatonError UNAVAILABLE. */
export interface Store {
  readonly pool: Pool;
  transaction<T>(body: (tx: Tx) => Promise<T>): Promise<T>;
  close(): Promise<void>;
  ping(): Promise<void>;
  health: {
    versions(): Promise<{ postgres: string; schema: number }>;
    /** how much is open, waits or runs, in the whole installation */
    depths(): Promise<{
      openSessions: number;
      inputsWaiting: number;
      turnsQueued: number;
      turnsRunning: number;
      turnsUnreported: number;
      approvalsOpen: number;
      hostInbox: number;
    }>;
    /** runners that have not ended, newest first, at most 500 */
    runners(): Promise<{ runnerId: string; sessionUlid: string; hostId: string; pid: number; createdAt: string }[]>;
  };

  /** One transaction takes the key, runs the effect and writes the audit row. On a conflict the stored ids come back (`replayed`), other fingerprint: BatonError IDEMPOTENCY_MISMATCH. A throwing effect rolls all back. Null key: no dedupe. */
  recordRequest<T extends Record<string, unknown>>(key: RequestKey, audit: AuditEntry, effect: (tx: Tx) => Promise<T>): Promise<{ ids: T; replayed: boolean }>;
  /** Until the transaction ends, nobody else holds `name`: for what is kept outside Postgres. */
  lockName(tx: Tx, name: string): Promise<void>;
  /** an audit row of a call that had no effect */
  recordRefusal(audit: AuditEntry & { outcome: string }): Promise<void>;

  sessions: {
    /** Inserts session, generation 1, head; appends `session.created`. Reserves `branchName` (collision in the repository's reserved names: `-1`, `-2`…) and returns the row. */
    insert(tx: Tx, row: NewSession): Promise<SessionRow>;
    get(sessionUlid: string): Promise<SessionRow | null>;
    /** by readable name (`TASK-42/executor-2`) */
    byName(name: string): Promise<SessionRow | null>;
    byChainRole(chainId: string, role: string, n: number): Promise<SessionRow | null>;
    list(filter: {
      limit: number;
      contextRef?: string;
      role?: string;
      agentHandle?: string;
      projectKey?: string;
      parentUlid?: string;
      chainId?: string;
      before?: string;
      open?: boolean;
      /** only what these eyes reach */
      reach?: Viewer;
    }): Promise<SessionRow[]>;
    /** what a session has launched, under the tree's lock; null: it is gone */
    lineage(tx: Tx, sessionUlid: string): Promise<Lineage | null>;
    /** next `n` for `<context>/<role>-<n>` */
    nextOrdinal(tx: Tx, contextRef: string, role: string): Promise<number>;
    /** closes the generation if nothing runs, waits or is asked in it and no open chain has it; false: left as it is */
    endIfIdle(tx: Tx, a: { sessionUlid: string; generation: number; reason: string }): Promise<boolean>;
    /** something runs, waits or is asked in it; under its lock */
    isBusy(tx: Tx, sessionUlid: string): Promise<boolean>;
    /** closed as superseded or purged within the last `maxAgeMs`: their workflows may not have heard of it */
    superseded(maxAgeMs: number): Promise<SessionRow[]>;
    openFor(tx: Tx, a: { contextRef: string; role: string; agentHandle: string }): Promise<SessionRow | null>;
    /** `runId`: of its workflow, if it was started here. Returns why the generation was closed before it began; null: it is open */
    markStarted(sessionUlid: string, generation: number, runId?: string): Promise<string | null>;
    /** `started_at` null and created between minAge and maxAge ms ago, newest generation */
    unstarted(minAgeMs: number, maxAgeMs: number): Promise<SessionRow[]>;
    failNeverStarted(olderThanMs: number): Promise<string[]>;
    /** started and not closed, by ULID, behind `after` ("": from the first) */
    startedAndOpen(a: { after: string; limit: number }): Promise<SessionRow[]>;
    /** workspace result with its event (keyed) */
    workspaceReady(sessionUlid: string, a: { path: string; head: string; branch: string | null }): Promise<void>;
    workspaceFailed(sessionUlid: string, message: string): Promise<void>;
    /** closes the generation: columns, event, open turns are given up, waiting inputs stay recorded; inbox `close_runner`. Idempotent; only if `generation` is current. */
    end(a: EndOfSession): Promise<void>;
    /** what the log says of the agent's conversations: their first and their newest new one, the newest input an agent got, whether the newest can be gone on with elsewhere, what its finished turns cost */
    conversation(sessionUlid: string): Promise<{
      firstSeq: number | null;
      freshSeq: number | null;
      deliveredSeq: number | null;
      resumable: boolean | null;
      costMicros: number;
    }>;
    /** the agent cannot go on with its conversation: the next one begins anew, and a notice says so. False when fenced */
    forgetConversation(a: { sessionUlid: string; epoch: number; owner: string; turnId: string; why: string }): Promise<boolean>;
    /** a closed session goes on as its next generation, with `session.woken`; null: it is not closed. Of several wakers one finds it so. */
    wake(tx: Tx, sessionUlid: string): Promise<SessionRow | null>;
    /** locks the session's head until the transaction ends */
    cursors(tx: Tx, sessionUlid: string): Promise<Cursors>;
  };

  /** Sessions that are to be deleted, and what is known of their files. */
  purge: {
    /** rows by table, and the events' bytes as they are stored */
    counts(sessionUlid: string): Promise<{ counts: Record<string, number>; bytes: number }>;
    /** asks the session's host what it has of it */
    ask(a: { inspectionId: string; sessionUlid: string; hostId: string }): Promise<void>;
    tell(inspectionId: string, answer: Inspection): Promise<void>;
    /** the host's answer, once */
    heard(inspectionId: string): Promise<Inspection | null>;
    /** closes an idle session and says what is to go; the host is told. A repeat does nothing. Error: CONFLICT_STATE when it is not idle, or a chain has it */
    begin(tx: Tx, a: { sessionUlid: string; purge: Purge }): Promise<void>;
    /** tells the host again */
    remind(row: { sessionUlid: string; hostId: string }): Promise<void>;
    /** deletes some of the records; false: there are none left */
    eraseSome(sessionUlid: string): Promise<boolean>;
    finish(sessionUlid: string, found: { snapshot?: string | null; transcriptPath?: string; kept?: string[] }): Promise<void>;
  };

  /** Sessions with what their views are computed from, one statement each. Purged ones: only by `get` and `byName`. */
  facts: {
    get(sessionUlid: string): Promise<FactsRow | null>;
    byName(name: string): Promise<FactsRow | null>;
    /** the newest session that has this conversation of its agent's */
    byThread(providerSessionId: string): Promise<FactsRow | null>;
    many(sessionUlids: string[]): Promise<FactsRow[]>;
    /** newest first, or `oldestFirst`. `contextRef`: exact, or with `TASK-` before it; `attention`: only where somebody may be needed */
    list(filter: FactsFilter): Promise<FactsRow[]>;
  };

  inputs: {
    /** Counts the queue (recorded+accepted): beyond `limit` BatonError QUEUE_FULL. Appends `input.recorded`. A known requestId returns its row. */
    insert(
      tx: Tx,
      a: {
        inputId: string;
        sessionUlid: string;
        prompt: string;
        delivery: Delivery;
        source: string;
        requestId: string | null;
        checkout?: Candidate | null;
        configuration?: TurnConfiguration | null;
        limit: number;
      },
    ): Promise<{ row: InputRow; position: number }>;
    get(inputId: string): Promise<InputRow | null>;
    /** by id, behind `after` ("": from the first) */
    after(sessionUlid: string, after: string, limit: number): Promise<InputRow[]>;
    /** recorded, accepted, delivering */
    pending(sessionUlid: string): Promise<InputRow[]>;
    /** still `recorded` after minAge ms in a started, open session: to be signalled again */
    unsignalled(minAgeMs: number): Promise<InputRow[]>;
    /** fails those that no agent has yet; a turn that one of them opened and that has no result is given up */
    fail(sessionUlid: string, inputIds: string[], reason: string): Promise<void>;
  };

  turns: {
    /** Claims an open session that nothing has claimed yet, before its first turn, for an agent that is started ahead; the epoch, or null: there is nothing to start ahead. */
    claimAhead(a: { sessionUlid: string; owner: string }): Promise<number | null>;
    /** The one claim function (fresh attempt and adoption), one transaction, head locked. A fresh claim inserts the turn (appends `turn.queued`) and marks its input accepted. `taskToken` null keeps the stored one (adoption). */
    claim(a: {
      sessionUlid: string;
      turnId: string;
      inputId: string;
      generation: number;
      attempt: number;
      taskToken: string | null;
      owner: string;
      minEpoch: number;
      /** the run of the workflow that asks */
      runId?: string | undefined;
    }): Promise<
      | { kind: "done"; turn: TurnRow; lastSeq: number; session: SessionRow }
      | { kind: "claimed"; turn: TurnRow; session: SessionRow; input: InputRow; head: HeadRow }
      | { kind: "gone" }
    >;
    get(sessionUlid: string, turnId: string): Promise<TurnRow | null>;
    list(sessionUlid: string): Promise<TurnRow[]>;
    /** turns of this host with `reported_at` null (queued, running, or done but not reported) */
    unreported(hostId: string): Promise<TurnRow[]>;
    /** which of these (session, epoch) this owner still holds */
    owned(owner: string, claims: { sessionUlid: string; epoch: number }[]): Promise<{ sessionUlid: string; epoch: number }[]>;
    /** The turn runs, and its prompt may be with the agent from now on: one commit before it is told. Fenced by (epoch, owner); false when fenced. */
    start(a: { sessionUlid: string; epoch: number; owner: string; turnId: string; runnerId: string; pid: number; candidate?: string }): Promise<boolean>;
    /** points the head at a new runner's spool at offset 0; false when fenced */
    switchSpool(a: { sessionUlid: string; epoch: number; owner: string; spoolId: string }): Promise<boolean>;
    /** result, `turn.completed`, `candidate.captured`, `input.consumed`, open items settled as interrupted, open approvals of the turn expired: one transaction. Idempotent. null when fenced */
    complete(a: {
      sessionUlid: string;
      epoch: number;
      owner: string;
      turnId: string;
      result: StoredResult;
      finalMessage: string;
      stopReason?: string;
      /** the agent's own time in the turn */
      agentMs?: number;
      /** the limit that ended it: people are asked in the same transaction */
      reached?: ReachedLimit;
    }): Promise<{ lastSeq: number; result: StoredResult } | null>;
    /** the candidates up to that turn (absent: the newest), newest first; two at most */
    candidates(sessionUlid: string, turnId?: string): Promise<{ turnId: string; candidate: Candidate }[]>;
    /** what was asked and answered before turn `before`, newest first, texts cut at `most` characters */
    told(
      sessionUlid: string,
      a: { before: number; limit: number; most: number },
    ): Promise<{ n: number; outcome: string | null; prompt: string; answer: string }[]>;
    markReported(sessionUlid: string, turnId: string): Promise<void>;
  };

  events: {
    read(sessionUlid: string, a: { sinceSeq: number; limit: number; types?: string[]; turnId?: string }): Promise<BatonEvent[]>;
    tail(sessionUlid: string, count: number): Promise<BatonEvent[]>;
    deltas(sessionUlid: string, a: { sinceSeq: number; limit: number }): Promise<Delta[]>;
    head(sessionUlid: string): Promise<HeadRow | null>;
    /** allocates seqs under the head's row lock */
    append(sessionUlid: string, events: KeyedEvent[]): Promise<number>;
    appendTx(tx: Tx, sessionUlid: string, events: KeyedEvent[]): Promise<number>;
  };

  /** Reads of the log that are bounded, and say where the log stands. Null: no such session. */
  pages: {
    /** Up to `limit` events after `sinceSeq` (`newest`: the last ones), oldest first; texts cut at `textMost` characters. `most`: bytes of them, texts as they are cut, behind which it stops */
    read(
      session: { sessionUlid?: string; name?: string },
      a: { sinceSeq: number; limit: number; textMost: number; most: number; types?: string[]; turnId?: string; newest?: boolean },
    ): Promise<{ sessionUlid: string; lastSeq: number; closed: boolean; purged: boolean; events: PagedEvent[] } | null>;
    /** inputs' texts by id, cut at `most` characters */
    prompts(inputIds: string[], most: number): Promise<Map<string, string>>;
  };

  runners: {
    upsert(row: Omit<RunnerRow, "createdAt" | "endedAt">): Promise<void>;
    live(hostId: string): Promise<RunnerRow[]>;
    bySession(sessionUlid: string): Promise<RunnerRow | null>;
    ended(runnerId: string): Promise<void>;
  };

  hosts: {
    /** true: this instance holds the lease (Postgres's clock). A holder whose lease is older than `leaseMs` is replaced; `holderDead(pid, bootId, startTicks)` lets a same-boot caller replace a dead one at once. */
    acquire(a: {
      hostId: string;
      owner: string;
      pid: number;
      bootId: string;
      startTicks: string;
      leaseMs: number;
      holderDead: (h: { pid: number; bootId: string; startTicks: string }) => boolean;
    }): Promise<boolean>;
    renew(a: { hostId: string; owner: string; leaseMs: number }): Promise<boolean>;
    release(a: { hostId: string; owner: string }): Promise<void>;
    all(): Promise<{ hostId: string; owner: string; pid: number; leaseUntil: string; alive: boolean }[]>;
    post(tx: Tx | null, row: Omit<HostInboxRow, "id" | "createdAt">): Promise<void>;
    takeInbox(hostId: string): Promise<HostInboxRow[]>;
    ack(ids: number[]): Promise<void>;
  };

  approvals: {
    get(approvalId: string): Promise<ApprovalRow | null>;
    /** where it is in a list; null: there is none, or none that the viewer reaches */
    position(approvalId: string, reach?: Viewer): Promise<number | null>;
    /** newest first, behind `before` */
    list(filter: {
      sessionUlid?: string;
      chainId?: string;
      state?: string;
      before?: { position: number; approvalId: string };
      limit: number;
      reach?: Viewer;
    }): Promise<(ApprovalRow & { position: number })[]>;
    /** first answer wins (`applied`); writes `approval.resolved` and the inbox row `respond {approvalId, decision}` in the transaction */
    answer(tx: Tx, a: { approvalId: string; decision: string; by: string; actor: string; reason?: string }): Promise<{ row: ApprovalRow; applied: boolean }>;
    /** answered but not delivered, for a takeover */
    undelivered(sessionUlid: string): Promise<ApprovalRow[]>;
    delivered(approvalId: string): Promise<void>;
    /** open permissions whose deadline is over, to be denied then */
    overdue(): Promise<{ approvalId: string; deadline: string }[]>;
    /** the permissions that were given with `allow_always`, newest first, at most 500. `grantKey`: what is equal to the request */
    remembered(sessionUlid: string): Promise<{ approvalId: string; title: string; grantKey: string; by: string; at: string }[]>;
    /** gives the same request, asked again, the answer that was given to `former` */
    answerAgain(approvalId: string, former: ApprovalRow): Promise<void>;
    /** expires what the session's agents still ask, for an owner who knows that they are gone; questions about limits stay. Their ids */
    expireAgents(claim: { sessionUlid: string; epoch: number; owner: string }): Promise<string[]>;
  };

  tasks: {
    project(projectKey: string): Promise<ProjectRow | null>;
    /** sets projectKey → repository at the first task; another path: BatonError CONFLICT_STATE. `principal` (default: the local operator): whose task it is */
    insert(tx: Tx, task: Omit<TaskRow, "createdAt" | "updatedAt" | "status"> & { repositoryPath: string | null }, principal?: string): Promise<TaskRow>;
    get(taskKey: string): Promise<TaskRow | null>;
    list(filter: { projectKey?: string; status?: string; assigneeHandle?: string; limit: number; after?: string; reach?: Viewer }): Promise<TaskRow[]>;
    /** null: no such task; nobody else changes it until the transaction ends */
    lockedStatus(tx: Tx, taskKey: string): Promise<string | null>;
    setStatus(tx: Tx, a: { taskKey: string; to: string }): Promise<void>;
  };

  chains: {
    insert(
      tx: Tx,
      a: { chainId: string; workflowId: string; taskKey: string; principal: string; config: Record<string, unknown>; executorUlid: string },
    ): Promise<void>;
    get(chainId: string): Promise<ChainRow | null>;
    markStarted(chainId: string, runId?: string): Promise<void>;
    unstarted(minAgeMs: number, maxAgeMs: number): Promise<ChainRow[]>;
    /** started and not ended, by id, behind `after` ("": from the first) */
    startedAndOpen(a: { after: string; limit: number }): Promise<ChainRow[]>;
    setRound(chainId: string, round: number, candidate?: Candidate): Promise<void>;
    setGates(chainId: string, gates: GateView[]): Promise<void>;
    /** ends the chain; approved: the task becomes `verified`. Idempotent. */
    finish(chainId: string, reason: ChainReason, why: string): Promise<void>;
    /** stored once per (session, turn), with `verdict.recorded` */
    recordVerdict(v: Omit<VerdictRow, "verdictId" | "createdAt">): Promise<VerdictRow>;
    verdicts(chainId: string): Promise<VerdictRow[]>;
  };

  /** What chains ask people (store/chain-questions.ts). */
  chainQuestions: ChainQuestionStore;
  launches: LaunchStore;
  limits: LimitStore;
  settles: SettleStore;
  /** Credentials (store/tokens.ts). */
  tokens: TokenStore;
  /** Who reaches what (store/reach.ts). */
  reach: ReachStore;
  /** Agents that wait for what they launched (store/turn-waits.ts). */
  waits: TurnWaitStore;

  /** The append lane (store/append-lane.ts): one per worker process. */
  lane: AppendLane;
  /** One LISTEN connection and a 1 s safety poll; resolves when the session may have news, or at the deadline. */
  feed: EventFeed;
}
