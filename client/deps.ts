import type { Client } from "@temporalio/client";
import type { Store } from "../store/store.ts";
import type { InspectRepository } from "./inspect-repository.ts";
import type { Starter } from "./start-workflow.ts";

/** What `openBaton` is opened with. Times in ms, sizes in bytes. */
export interface BatonOptions {
  databaseUrl: string;
  temporalAddress: string;
  temporalNamespace: string;
  instance: string;
  home: string;
  hostId: string;
  hostBeatTimeoutMs: number;
  turnAttempts: number;
  inputQueue: number;
  inspectRepository: InspectRepository;
  /** directories, separated by `:`, where an agent's program is looked for */
  searchPath: string;
  /** levels of launches below a session that a person launched (3); sessions that one agent's session may have open at once (8) and launch in all (50) */
  agentDepth?: number;
  agentChildren?: number;
  agentLaunches?: number;
}

/** What every family of the SDK is built from. `getStore` rejects with UNAVAILABLE while Postgres is away. */
export interface Deps {
  options: BatonOptions;
  getStore: () => Promise<Store>;
  client: Client;
  starter: Starter;
}
