import { ulid } from "ulid";
import { onRows } from "./session-rows.ts";

const on = onRows();

test("get has every field of the contract; an older turn; a chain", async () => {
  const sessionUlid = await on.session({ args: { effective: { model: "m-1", limits: { wallSeconds: 60 } } }, clientRequestId: "k-1" });
  const first = await on.turn(sessionUlid);
  const candidate = { commit: "c".repeat(40), tree: "t".repeat(40), ref: "r", base: "b", diffStat: "1 file, +1 -0", files: 1 };
  await first.end({ candidate });
  const second = await on.turn(sessionUlid);
  await second.end();
  await on.turn(sessionUlid);
  const view = await on.baton.sessions.get({ sessionUlid });
  expect(view).toMatchObject({
    clientRequestId: "k-1",
    principal: "p",
    providerSessionId: "thread",
    model: "m-1",
    statusReason: "waits for a turn slot",
    facets: { provision: "ready", turn: "queued", waits: [], host: "unknown" },
    turns: { total: 3, completed: 2 },
    currentTurn: { n: 3, state: "queued" },
    lastTurn: { n: 2, outcome: "completed", usage: { costMicros: 700 } },
    queue: [],
    waits: [],
    usage: { inputTokens: 20, outputTokens: 10, cachedTokens: 4, costMicros: 1_400, costSource: "reported" },
    limits: { wallSeconds: 60, used: { turns: 2, tokens: 30, costMicros: 1_400 } },
    resumable: { can: true, how: "native", reason: null },
    summary: "It is done.",
    candidate,
    workspace: "ready",
    host: "h",
    generation: 1,
    temporal: { namespace: "default", workflowId: sessionUlid, runId: "run-1" },
  });
  expect((view["lastTurn"] as { finalMessage: string }).finalMessage).toHaveLength(4_000);
  expect(view).not.toHaveProperty("restartedAt");
  expect((await on.baton.sessions.get({ sessionUlid, turnId: first.turnId }))["lastTurn"]).toMatchObject({ n: 1, candidate });
  await expect(on.baton.sessions.get({ sessionUlid, turnId: "nope" })).rejects.toMatchObject({ code: "NOT_FOUND", detail: { field: "turnId" } });
  const chainId = ulid();
  await on.store.transaction((tx) =>
    on.store.chains.insert(tx, {
      chainId,
      workflowId: "chain-wf",
      taskKey: "F-1",
      principal: "p",
      config: { maxRounds: 3, roles: [] },
      executorUlid: sessionUlid,
    }),
  );
  await on.store.chains.markStarted(chainId, "run-c");
  await on.sql.query("update session set chain_id = $2 where session_ulid = $1", [sessionUlid, chainId]);
  for (const args of [{ chainId }, { sessionUlid: chainId }])
    expect((await on.baton.sessions.get(args))["chain"]).toMatchObject({
      chainId,
      usage: { costMicros: 1_400 },
      limits: { maxRounds: 3 },
      temporal: { workflowId: "chain-wf", runId: "run-c" },
      sessions: [{ sessionUlid, role: "executor" }],
    });
});
