import { ServiceError } from "@temporalio/client";
import { ulid } from "ulid";
import { openRoleSession } from "../../activities/role-session.ts";
import { deliver } from "../../client/input.ts";
import { createStarter, type Starter } from "../../client/start-workflow.ts";
import { sweepOnce } from "../../client/sweeper.ts";
import { readConfig } from "../../contracts/config.schema.ts";
import type { SessionRow } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import { freshStore, newSession } from "../store/rows.ts";

let fresh: Awaited<ReturnType<typeof freshStore>>;
let store: Store;
beforeAll(async () => {
  fresh = await freshStore();
  ({ store } = fresh);
});
afterAll(() => fresh.end());

const config = readConfig({ BATON_HOME: "/nowhere", BATON_INSTANCE: "test", BATON_HOST_ID: "h" });
const starts: Starter = { session: async () => undefined, chain: async () => undefined, signal: async () => true };
/** A Temporal that takes every start. */
const temporal = { withDeadline: (_: number, call: () => unknown) => call(), workflow: { start: async () => ({ firstExecutionRunId: "run" }) } };
/** The process dies where it would mark the session. */
const dying = (): Store => ({ ...store, sessions: { ...store.sessions, markStarted: () => Promise.reject(new Error("killed here")) } });
const twoHoursPass = async () => {
  await store.pool.query("update generation set created_at = created_at - interval '2 hours'");
  await store.pool.query("update chain set created_at = created_at - interval '2 hours'");
};

async function newChain(): Promise<{ chainId: string; executorUlid: string }> {
  const chainId = ulid();
  const { sessionUlid: executorUlid } = await newSession(store, { contextRef: chainId, taskKey: chainId, chainId });
  const role = { agentHandle: "r", launcherConfigKey: "k", effective: {}, presetRevision: 1, presetSha256: "x", provider: "scripted", permissions: {} };
  const chain = { chainId, workflowId: `w-${chainId}`, taskKey: chainId, principal: "p", executorUlid };
  await store.transaction((tx) => store.chains.insert(tx, { ...chain, config: { reviewers: [role], args: { summary: "a chain" } } }));
  return { chainId, executorUlid };
}

describe("an hour after a start", () => {
  test("of a chain whose starter was killed over its marks, its executor is still at work", async () => {
    const { chainId, executorUlid } = await newChain();
    const starter = createStarter({
      client: temporal as never,
      getStore: async () => dying(),
      options: { instance: "t", hostBeatTimeoutMs: 1, turnAttempts: 1 },
    });
    await starter.chain((await store.chains.get(chainId))!).catch(() => undefined);
    await twoHoursPass();
    await sweepOnce(store, starts);
    expect(await store.sessions.get(executorUlid)).toMatchObject({ startedAt: expect.any(String), closedAt: null });
    expect(await store.chains.get(chainId)).toMatchObject({ startedAt: expect.any(String), state: "open" });
  });

  test("of a chain whose engine was killed while it opened a reviewer, the reviewer can still be opened", async () => {
    const { chainId } = await newChain();
    await store.chains.markStarted(chainId, "run");
    const asked = { chainId, role: "reviewer", n: 1 } as const;
    await expect(openRoleSession({ store: dying(), config }, asked)).rejects.toThrow("killed here");
    await twoHoursPass();
    await sweepOnce(store, starts);
    const { args } = await openRoleSession({ store, config }, asked);
    expect(await store.sessions.get(args.sessionUlid)).toMatchObject({ startedAt: expect.any(String), closedAt: null });
  });

  test("that never came, the chain and its executor end as never started", async () => {
    const { chainId, executorUlid } = await newChain();
    await twoHoursPass();
    await sweepOnce(store, starts);
    expect(await store.sessions.get(executorUlid)).toMatchObject({ closeReason: "never_started", failed: true });
    expect(await store.chains.get(chainId)).toMatchObject({ state: "ended", why: "never_started" });
  });
});

test("a reviewer that was closed before it was opened is not handed to its chain", async () => {
  const { chainId } = await newChain();
  const asked = { chainId, role: "reviewer", n: 1 } as const;
  await expect(openRoleSession({ store: dying(), config }, asked)).rejects.toThrow("killed here");
  const { sessionUlid } = (await store.sessions.byChainRole(chainId, "reviewer", 1))!;
  await store.sessions.end({ sessionUlid, generation: 1, state: "closed", reason: "by hand" });
  await expect(openRoleSession({ store, config }, asked)).rejects.toThrow("The reviewer's session was closed before it began (by hand).");
});

test("a reviewer that is over, or goes on without its chain, stays its chain's first generation in a later round", async () => {
  const { chainId } = await newChain();
  const asked = { chainId, role: "reviewer", n: 1 } as const;
  const first = await openRoleSession({ store, config }, asked);
  await store.sessions.end({ sessionUlid: first.args.sessionUlid, generation: 1, state: "closed", reason: "by hand" });
  expect(await openRoleSession({ store, config }, asked)).toEqual(first);
  await store.transaction((tx) => store.sessions.wake(tx, first.args.sessionUlid));
  expect(await openRoleSession({ store, config }, asked)).toEqual(first);
  expect(await store.sessions.get(first.args.sessionUlid)).toMatchObject({ generation: 2, startedAt: null });
});

describe("an input that waits", () => {
  let session: SessionRow;
  beforeEach(async () => {
    session = await newSession(store);
    await store.sessions.markStarted(session.sessionUlid, 1, "run");
  });
  const waits = async (): Promise<string> => {
    const input = { inputId: ulid(), sessionUlid: session.sessionUlid, prompt: "x", delivery: "queue", source: "test", requestId: null, limit: 1_000 } as const;
    return (await store.transaction((tx) => store.inputs.insert(tx, input))).row.inputId;
  };
  /** Notes which inputs a workflow was told of; `heard`: does Temporal take the Signal? */
  const listener = (heard = () => true) => {
    const told: string[] = [];
    const signal: Starter["signal"] = async (workflowId, _name, body) => {
      if (workflowId.startsWith(session.workflowId)) told.push((body as { inputId: string }).inputId);
      return heard();
    };
    return { told, starter: { ...starts, signal }, sweep: () => sweepOnce(store, { ...starts, signal }, undefined, 0) };
  };

  test("is told to its workflow once, by its door or by the sweeper, however long it waits", async () => {
    const [byDoor, lost] = [await waits(), await waits()];
    const { told, starter, sweep } = listener();
    await deliver({ starter }, store, byDoor);
    await deliver({ starter }, store, byDoor);
    for (let pass = 0; pass < 3; pass += 1) await sweep();
    expect(told).toEqual([byDoor, lost]);
  });

  test("is told again when no workflow was there, and to the next generation", async () => {
    const inputId = await waits();
    let there = false;
    const { told, sweep } = listener(() => there);
    await sweep();
    await sweep();
    expect(told).toEqual([inputId, inputId]);
    there = true;
    await sweep();
    await sweep();
    expect(told).toHaveLength(3);
    await store.sessions.end({ sessionUlid: session.sessionUlid, generation: 1, state: "failed", reason: "workflow_gone" });
    await store.transaction((tx) => store.sessions.wake(tx, session.sessionUlid));
    await store.sessions.markStarted(session.sessionUlid, 2, "run");
    await sweep();
    await sweep();
    expect(told).toHaveLength(4);
  });

  test("whose Signal was lost is found behind any number of others", async () => {
    await store.pool.query(
      `insert into input (input_id, session_ulid, generation, prompt, delivery, source) select '00' || lpad(n::text, 24, '0'), $1, 1, 'x', 'queue', 'test' from generate_series(1, 600) n`,
      [session.sessionUlid],
    );
    const lost = await waits();
    const { told, sweep } = listener();
    await sweep();
    await sweep();
    expect(told).toContain(lost);
    expect(told).toHaveLength(601);
  });
});

describe("a run that takes no more Signals", () => {
  const details = "exceeded workflow execution limit for signal events";
  const refused = new ServiceError("Failed to signal Workflow", { cause: Object.assign(new Error(details), { code: 3, details, metadata: {} }) });
  const cancelled: string[] = [];
  const getHandle = (workflowId: string) => ({ signal: () => Promise.reject(refused), cancel: async () => void cancelled.push(workflowId) });
  const client = { ...temporal, workflow: { getHandle } } as never;
  const { signal } = createStarter({ client, getStore: async () => store, options: { instance: "t", hostBeatTimeoutMs: 1, turnAttempts: 1 } });

  test("is closed by a cancel", async () => {
    expect(await signal("full", "close", { reason: "enough" })).toBe(true);
    expect(cancelled).toEqual(["full"]);
  });

  test("refuses anything else with what to do", async () => {
    const refusal = { code: "LIMIT_EXCEEDED", message: expect.stringMatching(/exceeded workflow execution limit for signal events.*Close the session/) };
    for (const name of ["abort", "input"] as const) await expect(signal("full", name, {})).rejects.toMatchObject(refusal);
  });
});
