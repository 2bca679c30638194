import { ulid } from "ulid";
import { openRoleSession } from "../../activities/role-session.ts";
import { createStarter, type Starter } from "../../client/start-workflow.ts";
import { sweepOnce } from "../../client/sweeper.ts";
import { readConfig } from "../../contracts/config.schema.ts";
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
