import { ulid } from "ulid";
import type { Caller } from "../../client/open-baton.ts";
import { agentScopes, sessionPrincipal } from "../../contracts/scopes.ts";
import { onRows } from "./session-rows.ts";

const on = onRows();
const local: Caller = { principal: "local" };
const agent = (session: string): Caller => ({ principal: sessionPrincipal(session), session, scopes: agentScopes });
const reads = ["get", "wait", "approvals", "tree", "events"] as const;
/** What a door does with one call: who may, then the action. */
async function call(caller: Caller, action: (typeof reads)[number] | "list" | "abort" | "input" | "live_deltas", sent: Record<string, unknown>) {
  const scope = action === "abort" || action === "input" ? "session:control" : "session:read";
  const args = (await on.baton.authorize(caller, { tool: "pm_session", action, scope }, sent)) as never;
  const { sessions } = on.baton;
  if (action === "list" || action === "approvals") return (await sessions[action](args)).data;
  if (action === "abort") return sessions.abort(caller, args);
  if (action === "input") return { ...(await sessions.input(caller, args)).data };
  return action === "live_deltas" ? sessions.liveDeltas(args) : sessions[action](args);
}
let launcher: string;
let executor: string;
let reviewer: string;
let stranger: string;
let chainId: string;
let approvalId: string;
beforeAll(async () => {
  launcher = await on.session();
  executor = await on.session({ parentUlid: launcher, contextRef: "TASK-R-1", taskKey: "R-1" });
  reviewer = await on.session({ parentUlid: executor, role: "reviewer", contextRef: "TASK-R-1", taskKey: "R-1" });
  stranger = await on.session();
  chainId = await on.chain("R-1", [executor, reviewer]);
  approvalId = ulid();
  await on.sql.query("insert into approval (approval_id, chain_id, kind, title, request_key) values ($1, $2, 'rounds', 'more?', 'k')", [approvalId, chainId]);
});

test.each([
  ["the local operator", () => local],
  ["an agent that launched it", () => agent(launcher)],
])("a chain's id is taken where a session's is, in any case, by %s", async (_, who) => {
  const caller = who();
  for (const id of [chainId, chainId.toLowerCase()]) {
    for (const sent of [{ sessionUlids: [id] }, { sessionUlid: id }, { chainId: id }])
      expect([sent, await call(caller, "wait", { ...sent, waitMs: 0, until: "closed" })]).toMatchObject([sent, { met: false, chain: { chainId } }]);
    for (const sent of [{ sessionUlid: id }, { chainId: id }]) {
      expect(await call(caller, "get", sent)).toMatchObject({ chain: { chainId } });
      expect(await call(caller, "approvals", sent)).toMatchObject({ approvals: [{ approvalId }] });
    }
    for (const sent of [{ sessionUlid: id }, { rootUlid: id }])
      expect(await call(caller, "tree", sent)).toMatchObject({ sessions: [{ sessionUlid: executor }, { sessionUlid: reviewer }] });
    expect(await call(caller, "events", { sessionUlid: id })).toMatchObject({ events: [{ sessionUlid: executor }, { type: "chain.started" }] });
    expect(await call(caller, "events", { sessionUlid: id, sinceSeq: 1, limit: 1 })).toMatchObject({ events: [{ sessionUlid: executor, seq: 2 }] });
    expect(((await call(caller, "list", { chainId: id }))["sessions"] as unknown[]).length).toBe(2);
    // One agent's turn is not a chain's: whoever names the chain is told whom to name.
    for (const action of ["abort", "input", "live_deltas"] as const)
      await expect(call(caller, action, { sessionUlid: id, ...(action === "input" ? { prompt: "x" } : {}) })).rejects.toMatchObject({
        code: "NOT_FOUND",
        message: expect.stringContaining(executor),
        detail: { field: "sessionUlid", next: [{ args: { action: "get", sessionUlid: chainId } }] },
      });
  }
  await expect(call(caller, "wait", { sessionUlids: [chainId, reviewer], waitMs: 0 })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    detail: { field: "sessionUlids", example: { chainId } },
  });
  for (const action of reads)
    await expect(call(caller, action, { sessionUlid: "01ARZ3NDEKTSV4RRFFQ69G5FAV" })).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: 'There is no session "01ARZ3NDEKTSV4RRFFQ69G5FAV".',
    });
});

test("who judges in a chain looks at it and does nothing to it; to a stranger it is not there", async () => {
  expect(await call(agent(reviewer), "events", { sessionUlid: chainId })).toMatchObject({ events: [{ sessionUlid: executor }, { type: "chain.started" }] });
  expect(await call(agent(reviewer), "wait", { sessionUlids: [chainId], waitMs: 0 })).toMatchObject({ chain: { chainId } });
  const hidden = { code: "NOT_FOUND", message: `There is no session "${chainId}".` };
  for (const action of ["abort", "input"] as const)
    await expect(call(agent(reviewer), action, { sessionUlid: chainId, prompt: "x" })).rejects.toMatchObject(hidden);
  for (const action of [...reads, "abort", "live_deltas"] as const)
    await expect(call(agent(stranger), action, { sessionUlid: chainId })).rejects.toMatchObject(hidden);
});
