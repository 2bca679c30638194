import { onRows } from "./session-rows.ts";
import { agentScopes, sessionPrincipal } from "../../contracts/scopes.ts";
import type { WaitArgs } from "../../client/wait.ts";

const on = onRows();
const waited = (args: WaitArgs) =>
  on.baton.sessions.wait({ waitMs: 0, ...args }) as Promise<{ met: boolean; sessions: { sessionUlid: string; met: boolean; state: string }[] }>;
const met = async (args: WaitArgs) => (await waited(args)).met;
const untils = ["attention", "idle", "turn", "closed"] as const;

describe("what was over before the call ends no wait for a task or a tree", () => {
  test("a task that was launched again is waited for until the one that runs is idle", async () => {
    const former = await on.session({ contextRef: "TASK-AGAIN-1", taskKey: "AGAIN-1" });
    await (await on.turn(former)).end();
    await on.close(former);
    const running = await on.session({ contextRef: "TASK-AGAIN-1", taskKey: "AGAIN-1" });
    const turn = await on.turn(running);
    const cursors = { [former]: await on.last(former), [running]: await on.last(running) };
    for (const until of untils) {
      expect([until, await met({ taskKey: "AGAIN-1", until })]).toEqual([until, false]);
      expect([until, await met({ taskKey: "AGAIN-1", until, cursors })]).toEqual([until, false]);
      // Who knows of the newer one only has not asked for the one before it.
      expect([until, await met({ taskKey: "AGAIN-1", until, cursors: { [running]: cursors[running]! } })]).toEqual([until, false]);
    }
    // A cursor before its close is news, and so is a close without any cursor of a session that is named.
    expect(await met({ taskKey: "AGAIN-1", until: "idle", cursors: { [former]: cursors[former]! - 1 } })).toBe(true);
    expect(await met({ sessionUlids: [former], until: "idle" })).toBe(true);
    // Of it alone nothing more comes; beside one that runs its close is known.
    for (const until of untils) {
      expect([until, await met({ sessionUlids: [former], until, cursors })]).toEqual([until, true]);
      expect([until, await met({ sessionUlids: [former, running], until, cursors })]).toEqual([until, false]);
    }
    const waiting = waited({ taskKey: "AGAIN-1", until: "idle", waitMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await turn.end();
    const { met: ended, sessions } = await waiting;
    expect(ended).toBe(true);
    expect(sessions.map((one) => [one.sessionUlid, one.met])).toEqual([
      [running, true],
      [former, false],
    ]);
    // All of them: what is over keeps nobody waiting.
    expect(await met({ taskKey: "AGAIN-1", until: "idle", mode: "all" })).toBe(true);
    expect(await met({ taskKey: "AGAIN-1", until: "closed", mode: "all" })).toBe(false);
    await on.close(running);
    for (const mode of ["any", "all"] as const) {
      expect(await met({ taskKey: "AGAIN-1", until: "closed", mode })).toBe(true);
      const known = { [former]: await on.last(former), [running]: await on.last(running) };
      expect(await met({ taskKey: "AGAIN-1", until: "closed", mode, cursors: known })).toBe(true);
    }
  });

  test("the next of a tree's children is waited for by cursors, also one that came and closed between two calls", async () => {
    const root = await on.session();
    const [first, second] = [await on.session({ parentUlid: root }), await on.session({ parentUlid: root })];
    for (const one of [root, second]) await on.turn(one);
    await on.close(first, "failed");
    for (const until of untils) expect([until, await met({ rootUlid: root, until })]).toEqual([until, false]);
    const cursors = Object.fromEntries(await Promise.all([root, first, second].map(async (one) => [one, await on.last(one)])));
    const waiting = waited({ rootUlid: root, until: "closed", cursors, waitMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await on.close(second);
    expect(await waiting).toMatchObject({ met: true });
    const known = { ...cursors, [second]: await on.last(second) };
    expect(await met({ rootUlid: root, until: "closed", cursors: known })).toBe(false);
    const late = await on.session({ parentUlid: root });
    await on.close(late);
    expect(await met({ rootUlid: root, until: "closed", cursors: known })).toBe(true);
    expect(await met({ rootUlid: root, until: "closed", cursors: { ...known, [late]: await on.last(late) } })).toBe(false);
  });

  test("an entry of attention behind the cursor is known; one that no event tells of counts when it comes", async () => {
    const failed = await on.session();
    await (await on.turn(failed)).end({ outcome: "failed", failure: { class: "auth", message: "log in", retryable: false } });
    expect(await met({ sessionUlid: failed })).toBe(true);
    expect(await met({ sessionUlid: failed, cursors: { [failed]: (await on.last(failed)) - 1 } })).toBe(true);
    expect(await met({ sessionUlid: failed, cursors: { [failed]: await on.last(failed) } })).toBe(false);
    const orphan = await on.session({ hostId: "dies" });
    await on.sql.query(
      "insert into host (host_id, owner, pid, boot_id, start_ticks, lease_until) values ('dies', 'o', 1, 'b', 't', clock_timestamp() + interval '1 hour')",
    );
    await on.turn(orphan);
    const waiting = waited({ sessionUlid: orphan, cursors: { [orphan]: await on.last(orphan) }, waitMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await on.sql.query("update host set lease_until = clock_timestamp() - interval '1 s' where host_id = 'dies'");
    expect(await waiting).toMatchObject({ met: true, sessions: [{ attention: [{ kind: "host_lost" }] }] });
    expect(await met({ sessionUlid: orphan, cursors: { [orphan]: await on.last(orphan) } })).toBe(false);
  });
});

test("cursors are taken as answers have them", async () => {
  const one = await on.session();
  await (await on.turn(one)).end();
  const last = await on.last(one);
  for (const key of [one, one.toLowerCase()]) {
    expect(await met({ sessionUlid: one, until: "turn", cursors: { [key]: { events: last, deltas: 0 } } })).toBe(false);
    expect(await met({ sessionUlid: one, until: "turn", cursors: { [key]: { events: last - 1 } } })).toBe(true);
  }
});

describe("an agent does not wait for itself", () => {
  test("of its own tree and its task it is left out; named, it is refused", async () => {
    const self = await on.session({ contextRef: "TASK-SELF-1", taskKey: "SELF-1" });
    await on.turn(self);
    const reach = { session: self, subtree: true } as const;
    const child = await on.session({ parentUlid: self });
    expect(await waited({ rootUlid: self, mode: "all", until: "idle", reach })).toMatchObject({ met: true, sessions: [{ sessionUlid: child }] });
    expect((await waited({ taskKey: "SELF-1", reach })).sessions).toEqual([]);
    for (const args of [{ sessionUlids: [child, self] }, { sessionUlid: self }])
      await expect(waited({ ...args, reach })).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { field: "sessionUlids" } });
    // As a door asks for it.
    const caller = { principal: sessionPrincipal(self), session: self, scopes: agentScopes };
    const args = await on.baton.authorize(
      caller,
      { tool: "pm_session", action: "wait", scope: "session:read" },
      { rootUlid: "self", mode: "all", until: "idle" },
    );
    expect(await waited(args)).toMatchObject({ met: true, sessions: [{ sessionUlid: child }] });
    // Somebody else may.
    expect(await met({ rootUlid: self, mode: "all", until: "idle" })).toBe(false);
  });
});

describe("a chain", () => {
  test("turn and idle mean its sessions, any or all of them, after their cursors; attention is not behind one", async () => {
    const executor = await on.session();
    await (await on.turn(executor)).end();
    const reviewer = await on.session({ role: "reviewer" });
    const chainId = await on.chain("CH-1", [executor, reviewer]);
    const reviewing = await on.turn(reviewer);
    for (const until of ["idle", "turn"] as const) {
      expect([until, await waited({ chainId, until })]).toMatchObject([until, { met: true, chain: { chainId } }]);
      expect([until, await met({ chainId, until, mode: "all" })]).toEqual([until, false]);
      expect([until, await met({ chainId, until, cursors: { [executor]: await on.last(executor) } })]).toEqual([until, false]);
    }
    // What idles between a chain's steps waits for nobody.
    for (const until of ["attention", "closed"] as const) expect([until, await met({ chainId, until })]).toEqual([until, false]);
    await reviewing.end({ outcome: "failed", failure: { class: "auth", message: "log in", retryable: false } });
    expect(await met({ chainId, until: "idle", mode: "all" })).toBe(true);
    expect(await met({ chainId })).toBe(true);
    expect(await met({ chainId, cursors: { [reviewer]: await on.last(reviewer) } })).toBe(false);
    expect(await met({ chainId, until: "closed" })).toBe(false);
    await on.sql.query("update chain set state = 'ended', reason = 'approved' where chain_id = $1", [chainId]);
    for (const until of untils) expect([until, await met({ chainId, until, mode: "all" })]).toEqual([until, true]);
  });
});
