import type { BatonEvent } from "../contracts/event.ts";
import { BatonError } from "../contracts/failures.ts";
import { openStore } from "../store/open-store.ts";
import type { Store } from "../store/store.ts";
import { abort, type AbortArgs } from "./abort.ts";
import { agentWait } from "./agent-wait.ts";
import { auditRefusal, authorize, type Called } from "./authorize.ts";
import type { Caller } from "./caller.ts";
import { close, type CloseArgs, respond, type RespondArgs } from "./control.ts";
import type { BatonOptions, Deps } from "./deps.ts";
import { diff, type DiffArgs } from "./diff.ts";
import { follow, type FollowArgs, type FollowedNews } from "./follow.ts";
import { type Health, health } from "./health.ts";
import { input, type InputAnswer, type InputArgs, run, type RunArgs } from "./input.ts";
import { launch, type Launched } from "./launch.ts";
import type { LaunchArgs } from "./launch-plan.ts";
import { configView, promptView, specView, type ViewArgs } from "./launch-views.ts";
import { createPreset, deletePreset, type PresetArgs, updatePreset } from "./preset-changes.ts";
import { listProviders, testPreset } from "./providers.ts";
import { type McpTasks, mcpTasks } from "./mcp-tasks.ts";
import { purge, type PurgeArgs } from "./purge.ts";
import { getChain } from "./read-chains.ts";
import { type DeltasArgs, liveDeltas } from "./read-deltas.ts";
import { events, type EventsArgs, wholeEvent } from "./read-events.ts";
import { getPreset, listPresets } from "./read-presets.ts";
import { type ApprovalsArgs, getSession, listApprovals, type ListArgs, listSessions, type Page } from "./read-sessions.ts";
import { restart, type RestartArgs } from "./restart.ts";
import { createStarter } from "./start-workflow.ts";
import { changeStatus, type ChangeStatusArgs, createTask, type CreateTaskArgs, getTask, listTasks, type ListTasksArgs } from "./tasks.ts";
import { lazyTemporal } from "./temporal.ts";
import { callerOf, createToken, type CreateTokenArgs, listTokens, revokeToken, type TokenView } from "./tokens.ts";
import { tree, type TreeArgs } from "./tree.ts";
import { unlessPurged } from "./unless-purged.ts";
import type { WaitArgs } from "./wait.ts";

export type { BatonOptions } from "./deps.ts";
export type { Caller } from "./caller.ts";
type Data = Record<string, unknown>;

/** The way in to Baton. Every method answers a BatonError when it refuses; UNAVAILABLE while Postgres or Temporal is away. */
export interface Baton {
  sessions: {
    launch(caller: Caller, args: LaunchArgs): Promise<Launched>;
    start(caller: Caller, args: LaunchArgs): Promise<Launched>;
    input(caller: Caller, args: InputArgs): Promise<InputAnswer>;
    run(caller: Caller, args: RunArgs): Promise<InputAnswer>;
    abort(caller: Caller, args: AbortArgs): Promise<Data>;
    close(caller: Caller, args: CloseArgs): Promise<Data>;
    restart(caller: Caller, args: RestartArgs): Promise<Data>;
    purge(caller: Caller, args: PurgeArgs): Promise<Data>;
    respond(caller: Caller, args: RespondArgs): Promise<Data>;
    prompt(args: ViewArgs): Promise<Data>;
    config(args: ViewArgs): Promise<Data>;
    spec(args: ViewArgs): Promise<Data>;
    get(args: { sessionUlid?: string; chainId?: string; turnId?: string }): Promise<Data>;
    list(args: ListArgs): Promise<Page>;
    approvals(args: ApprovalsArgs): Promise<Page>;
    events(args: EventsArgs, signal?: AbortSignal): Promise<Data>;
    liveDeltas(args: DeltasArgs, signal?: AbortSignal): Promise<Data>;
    /** one event with all of its text; null: there is none of this seq */
    event(args: { sessionUlid: string; seq: number }): Promise<BatonEvent | null>;
    /** events and deltas as they are committed, until `signal` */
    follow(args: FollowArgs, signal?: AbortSignal): AsyncGenerator<FollowedNews>;
    wait(args: WaitArgs, signal?: AbortSignal): Promise<Data>;
    tree(args: TreeArgs): Promise<Data>;
    diff(args: DiffArgs): Promise<Data>;
  };
  tasks: {
    create(caller: Caller, args: CreateTaskArgs): Promise<Data>;
    get(taskKey: string, bounds?: { maxBytes?: number }): Promise<Data>;
    list(args: ListTasksArgs): Promise<{ data: Data; page?: { nextCursor: string } }>;
    changeStatus(caller: Caller, args: ChangeStatusArgs): Promise<Data>;
  };
  /** waits that their callers look after instead of holding a call open */
  mcpTasks: McpTasks;
  chains: { get(chainId: string): Promise<Data> };
  presets: {
    list(args?: { includeProviderDefaults?: boolean }): Promise<Data>;
    get(key: string): Promise<Data>;
    create(caller: Caller, args: PresetArgs): Promise<Data>;
    update(caller: Caller, args: PresetArgs): Promise<Data>;
    delete(caller: Caller, args: { key: string; clientRequestId?: string; actor?: string }): Promise<Data>;
    test(key: string): Promise<Data>;
  };
  providers: { list(): Promise<Data> };
  tokens: {
    create(caller: Caller, args: CreateTokenArgs): Promise<{ token: TokenView; secret: string }>;
    list(caller: Caller): Promise<TokenView[]>;
    revoke(caller: Caller, args: { tokenId: string }): Promise<TokenView>;
    /** who shows this secret; null: nobody */
    caller(secret: string): Promise<Caller | null>;
  };
  /** what doors ask before every action (client/authorize.ts) */
  authorize(caller: Caller, called: Called, args: Data): Promise<Data>;
  /** what doors tell when an action was refused */
  auditRefusal(caller: Caller, called: Called, args: unknown, error: unknown): Promise<void>;
  health(args?: { detail?: boolean }): Promise<Health>;
  close(): Promise<void>;
}

/** Opens the SDK. Answers at once: Postgres and Temporal are connected to by the first call that needs them, and again after a failure. */
export function openBaton(options: BatonOptions): Promise<Baton> {
  const temporal = lazyTemporal({ address: options.temporalAddress, namespace: options.temporalNamespace });
  const postgres = lazyStore(options);
  const deps: Deps = {
    options,
    client: temporal.client,
    getStore: postgres.get,
    starter: createStarter({ client: temporal.client, getStore: postgres.get, options }),
  };
  // Warm, so that the first call does not pay for the connection; a failure is that call's to tell.
  postgres.get().catch(() => {});
  return Promise.resolve({
    sessions: {
      launch: (caller, args) => launch(deps, caller, args, "launch_task"),
      start: (caller, args) => launch(deps, caller, args, "start"),
      input: unlessPurged(deps, "input", input, answered),
      run: unlessPurged(deps, "run", run, answered),
      abort: unlessPurged(deps, "abort", abort, asData),
      close: unlessPurged(deps, "close", close, asData),
      restart: unlessPurged(deps, "restart", restart, asData),
      purge: (caller, args) => purge(deps, caller, args),
      respond: (caller, args) => respond(deps, caller, args),
      prompt: (args) => promptView(deps, args),
      config: (args) => configView(deps, args),
      spec: (args) => specView(deps, args),
      get: (args) => getSession(deps, args),
      list: (args) => listSessions(deps, args),
      approvals: (args) => listApprovals(deps, args),
      events: (args, signal) => events(deps, args, signal),
      liveDeltas: (args, signal) => liveDeltas(deps, args, signal),
      event: (args) => wholeEvent(deps, args),
      follow: (args, signal) => follow(deps, args, signal),
      wait: (args, signal) => agentWait(deps, args, signal),
      tree: (args) => tree(deps, args),
      diff: (args) => diff(deps, args),
    },
    tasks: {
      create: (caller, args) => createTask(deps, caller, args),
      get: (taskKey, bounds) => getTask(deps, taskKey, bounds),
      list: (args) => listTasks(deps, args),
      changeStatus: (caller, args) => changeStatus(deps, caller, args),
    },
    mcpTasks: mcpTasks(deps),
    chains: { get: (chainId) => getChain(deps, chainId) },
    presets: {
      list: (args) => listPresets(deps, args ?? {}),
      get: (key) => getPreset(deps, key),
      create: (caller, args) => createPreset(deps, caller, args),
      update: (caller, args) => updatePreset(deps, caller, args),
      delete: (caller, args) => deletePreset(deps, caller, args),
      test: (key) => testPreset(deps, key),
    },
    providers: { list: () => listProviders(deps) },
    tokens: {
      create: (caller, args) => createToken(deps, caller, args),
      list: (caller) => listTokens(deps, caller),
      revoke: (caller, args) => revokeToken(deps, caller, args),
      caller: (secret) => callerOf(deps, secret),
    },
    authorize: (caller, called, args) => authorize(deps, caller, called, args),
    auditRefusal: (caller, called, args, error) => auditRefusal(deps, caller, called, args, error),
    health: (args) => health(deps, args),
    close: async () => {
      await postgres.close();
      await temporal.close();
    },
  });
}

const asData = (data: Data): Data => data;
const answered = (data: Data): InputAnswer => ({ data, next: [] });

/** The store, opened once; a failed opening is tried again by the next call. */
function lazyStore(options: BatonOptions): { get(): Promise<Store>; close(): Promise<void> } {
  let opening: Promise<Store> | null = null;
  return {
    get: () => {
      const current =
        opening ??
        openStore({ databaseUrl: options.databaseUrl, instance: options.instance }).catch((error: unknown) => {
          opening = null;
          if (error instanceof BatonError) throw error;
          throw new BatonError("UNAVAILABLE", "Postgres does not answer: nothing was done. Try again in a moment.", { retryable: true, retryAfterMs: 2_000 });
        });
      opening = current;
      return current;
    },
    close: async () => {
      await (await opening?.catch(() => null))?.close();
    },
  };
}
