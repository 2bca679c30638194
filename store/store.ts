import type { Pool, PoolClient } from "pg";
import type { NewEvent } from "../contracts/event.ts";
import type { ApprovalStore } from "./approvals.ts";
import type { ChainQuestionStore } from "./chain-questions.ts";
import type { ChainStore } from "./chains.ts";
import type { EventPages } from "./event-pages.ts";
import type { EventStore } from "./events.ts";
import type { HealthStore } from "./health.ts";
import type { HostStore } from "./hosts.ts";
import type { InputStore } from "./inputs.ts";
import type { AppendLane, EventFeed } from "./lane.ts";
import type { LaunchStore } from "./launches.ts";
import type { LimitStore } from "./limits.ts";
import type { McpTaskStore } from "./mcp-tasks.ts";
import type { PurgeStore } from "./purge.ts";
import type { ReachStore, Viewer } from "./reach.ts";
import type { AuditEntry } from "./rows.ts";
import type { RunnerStore } from "./runners.ts";
import type { FactsStore } from "./session-facts.ts";
import type { SessionStore } from "./sessions.ts";
import type { SettleStore } from "./settle-watches.ts";
import type { TaskStore } from "./tasks.ts";
import type { TokenStore } from "./tokens.ts";
import type { TurnWaitStore } from "./turn-waits.ts";
import type { TurnStore } from "./turns.ts";

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
  health: HealthStore;
  /** One transaction takes the key, runs the effect and writes the audit row. On a conflict the stored ids come back (`replayed`), other fingerprint: BatonError IDEMPOTENCY_MISMATCH. A throwing effect rolls all back. Null key: no dedupe. */
  recordRequest<T extends Record<string, unknown>>(key: RequestKey, audit: AuditEntry, effect: (tx: Tx) => Promise<T>): Promise<{ ids: T; replayed: boolean }>;
  /** Until the transaction ends, nobody else holds `name`: for what is kept outside Postgres. */
  lockName(tx: Tx, name: string): Promise<void>;
  /** an audit row of a call that had no effect */
  recordRefusal(audit: AuditEntry & { outcome: string }): Promise<void>;

  sessions: SessionStore;
  /** Sessions that are to be deleted, and what is known of their files. */
  purge: PurgeStore;
  /** Sessions with what their views are computed from, one statement each. Purged ones: only by `get` and `byName`. */
  facts: FactsStore;
  inputs: InputStore;
  turns: TurnStore;
  events: EventStore;
  /** Reads of the log that are bounded, and say where the log stands. Null: no such session. */
  pages: EventPages;
  runners: RunnerStore;
  hosts: HostStore;
  approvals: ApprovalStore;
  tasks: TaskStore;
  chains: ChainStore;
  /** What chains ask people (store/chain-questions.ts). */
  chainQuestions: ChainQuestionStore;
  launches: LaunchStore;
  limits: LimitStore;
  settles: SettleStore;
  /** Credentials (store/tokens.ts). */
  tokens: TokenStore;
  /** Who reaches what (store/reach.ts). */
  reach: ReachStore;
  /** Waits that their callers look after (store/mcp-tasks.ts). */
  mcpTasks: McpTaskStore;
  /** Agents that wait for what they launched (store/turn-waits.ts). */
  waits: TurnWaitStore;
  /** The append lane (store/append-lane.ts): one per worker process. */
  lane: AppendLane;
  /** One LISTEN connection and a 1 s safety poll; resolves when the session may have news, or at the deadline. */
  feed: EventFeed;
}
