import type { AsyncCompletionClient, WorkflowClient } from "@temporalio/client";
import type { Config } from "../contracts/config.schema.ts";
import type { RunnerControl } from "../contracts/runner-protocol.ts";
import type { Workspaces } from "../contracts/workspaces.ts";
import type { Store } from "../store/store.ts";
import type { TurnSlots } from "./turn-slots.ts";

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What one host's side is built from; handed in by workers/host.ts. */
export interface HostDeps {
  store: Store;
  workspaces: Workspaces;
  runners: RunnerControl;
  completion: AsyncCompletionClient;
  workflows: WorkflowClient;
  slots: TurnSlots;
  config: Config;
  /** this process's random id: the owner of what it claims */
  owner: string;
  /** environment that agents may see */
  agentEnv: Record<string, string>;
  /** `env:NAME` → the host's own variable; undefined: not known here */
  resolveSecret: (valueRef: string) => string | undefined;
  log: Log;
  /** Named boundary for the interleaving tests; a no-op otherwise. */
  stopPoint: (name: string) => Promise<void>;
}

/** Another claim owns the turn: let go, kill nothing. */
export class Fenced extends Error {
  constructor(where: string) {
    super(`fenced at ${where}`);
    this.name = "Fenced";
  }
}

/** The agent's process went away in the middle; the workflow decides about another attempt. */
export class AttemptLost extends Error {
  readonly respawned: boolean;
  constructor(message: string, respawned: boolean) {
    super(message);
    this.name = "AttemptLost";
    this.respawned = respawned;
  }
}
