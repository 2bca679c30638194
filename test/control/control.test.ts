import { launchScripted, openTestBaton } from "../faults/support/launch.ts";
import { caller, onDoor } from "./on-door.ts";

const on = onDoor();
const { key, sessions } = on;

/** Its agent has the prompt: aborted before, a scripted agent would play the same turn for the next one. */
const working = (session: string) =>
  on.baton.eventually(
    `${session} works`,
    async () => (await on.baton.query("select 1 from input where session_ulid = $1 and state = 'delivered'", [session])).length === 1,
    30_000,
  );
const inputs = (session: string) =>
  on.baton.query<{ input_id: string; prompt: string; state: string }>("select input_id, prompt, state from input where session_ulid = $1 order by input_id", [
    session,
  ]);

describe("abort", () => {
  test("a repeated abort drops what waited at the first call, and nothing that came between the calls", async () => {
    const session = await launchScripted(on.baton, on.stack, { key: key("repeat"), turns: [["ignoreSignals", "hang"], ["hang"], [{ say: "later" }]] });
    await working(session);
    await sessions().input(caller, { sessionUlid: session, prompt: "waited" });
    const args = { sessionUlid: session, clientRequestId: key("abort-1") };
    // The repeat is under way while the turn still ends: the agent does not listen.
    const first = sessions().abort(caller, args);
    expect(await first).toMatchObject({ aborted: true });
    await sessions().input(caller, { sessionUlid: session, prompt: "between" });
    const again = await sessions().abort(caller, args);
    expect(again).toMatchObject({ aborted: true, turnId: (await first)["turnId"] });
    await on.baton.eventually("the later input has its turn", async () => (await inputs(session))[2]?.state === "delivered", 40_000);
    expect((await inputs(session)).map(({ prompt, state }) => [prompt, state])).toEqual([
      ["go", "consumed"],
      ["waited", "failed"],
      ["between", "delivered"],
    ]);
    // An hour later the same call still means the first turn only.
    expect(await sessions().abort(caller, args)).toMatchObject({ turnId: (await first)["turnId"] });
    expect((await inputs(session))[2]?.state).toBe("delivered");
    expect(await sessions().abort(caller, { sessionUlid: session })).toMatchObject({ aborted: true });
    await on.baton.turnsEnded(session, 2, 30_000);
    expect(await sessions().abort(caller, { sessionUlid: session })).toMatchObject({ aborted: false });
  }, 120_000);

  test("cascade: a session and all below it, the deepest first; dropQueue false keeps what waits", async () => {
    const tree: string[] = [];
    for (const name of ["top", "middle", "bottom"]) {
      tree.push(await launchScripted(on.baton, on.stack, { key: key(name), turns: [["hang"], [{ say: "well" }]] }));
      if (tree.length > 1)
        await on.baton.query("update session set parent_ulid = $2, root_ulid = $3 where session_ulid = $1", [tree.at(-1), tree.at(-2), tree[0]]);
    }
    const [top = "", middle = "", bottom = ""] = tree;
    for (const session of tree) await working(session);
    expect((await sessions().get({ sessionUlid: bottom }))["rootUlid"]).toBe(top);
    const { sessions: nodes, totals } = (await sessions().tree({ sessionUlid: bottom })) as { sessions: { sessionUlid: string }[]; totals: object };
    expect([nodes.map((node) => node.sessionUlid), totals]).toEqual([[bottom], { sessions: 1, running: 1, costMicros: 0 }]);
    expect(await sessions().tree({ rootUlid: top })).toMatchObject({
      sessions: [
        { sessionUlid: top, depth: 0, parentUlid: null, children: 1, status: "RUNNING", reason: "turn" },
        { sessionUlid: middle, depth: 1, parentUlid: top, children: 1 },
        { sessionUlid: bottom, depth: 2, parentUlid: middle, children: 0 },
      ],
      totals: { sessions: 3, running: 3 },
    });
    const listed = async (filter: Record<string, unknown>) =>
      ((await sessions().list(filter)).data["sessions"] as { sessionUlid: string }[]).map((row) => row.sessionUlid).toSorted();
    expect(await listed({ rootUlid: middle })).toEqual([middle, bottom].toSorted());
    expect(await listed({ parentUlid: top })).toEqual([middle]);
    await sessions().input(caller, { sessionUlid: middle, prompt: "kept" });
    const { data } = await on.door.call({ action: "abort", sessionUlid: top, cascade: true, dropQueue: false, clientRequestId: key("cascade") });
    expect(data).toMatchObject({ aborted: true, cascade: [{ sessionUlid: bottom }, { sessionUlid: middle }] });
    for (const session of tree) await on.baton.turnsEnded(session, 1, 30_000);
    for (const session of tree) expect((await on.baton.outcomes(session))[0]).toBe("interrupted");
    await on.baton.turnsEnded(middle, 2, 30_000);
    const { data: repeated } = await on.door.call({ action: "abort", sessionUlid: top, cascade: true, dropQueue: false, clientRequestId: key("cascade") });
    expect(repeated).toMatchObject({ aborted: true, cascade: [{ sessionUlid: bottom }, { sessionUlid: middle }] });
    expect((await sessions().tree({ rootUlid: top }))["totals"]).toEqual({ sessions: 3, running: 0, costMicros: 1_000 });
  }, 120_000);
});

describe("run", () => {
  test("a configuration holds for one turn, is recorded, and cannot widen permissions; dbPath is refused", async () => {
    const session = await launchScripted(on.baton, on.stack, {
      key: key("configuration"),
      turns: [[{ say: "one" }], [{ ask: { title: "May I?", kind: "edit" } }, { say: "asked" }], [{ ask: { title: "May I?", kind: "edit" } }, { say: "asked" }]],
    });
    await on.baton.turnsEnded(session, 1, 30_000);
    const refused = async (more: Record<string, unknown>) =>
      (await on.door.call({ action: "run", sessionUlid: session, clientRequestId: key("run"), ...more })).error;
    expect(await refused({ dbPath: "/tmp/x.db" })).toMatchObject({ code: "INVALID_ARGUMENT", field: "dbPath" });
    expect(await refused({ configuration: { command: ["sh"] } })).toMatchObject({ code: "INVALID_ARGUMENT", field: "configuration.command" });
    const before = await sessions().get({ sessionUlid: session });
    expect(before).toMatchObject({ status: "IDLE", turns: { total: 1 } });
    const { data, ok } = await on.door.call({
      action: "run",
      sessionUlid: session,
      clientRequestId: key("run"),
      configuration: { mode: "deny-all", maxRuntimeSeconds: 60 },
    });
    expect([ok, data]).toMatchObject([true, { status: "RUNNING" }]);
    await on.baton.turnsEnded(session, 2, 30_000);
    const recorded = (await sessions().events({ sessionUlid: session, types: ["input.recorded"] }))["events"] as { data: Record<string, unknown> }[];
    expect(recorded.at(-1)?.data).toMatchObject({ inputId: data?.["turnId"], configuration: { mode: "deny-all", maxRuntimeSeconds: 60 } });
    const decisions = async () => (await on.baton.query("select 1 from approval where session_ulid = $1", [session])).length;
    expect(await decisions()).toBe(0);
    // The next turn is the preset's again.
    await on.baton.query("update session set args = jsonb_set(args, '{effective,permissions,mode}', '\"ask\"') where session_ulid = $1", [session]);
    expect(await refused({ clientRequestId: key("run-2"), configuration: { mode: "approve-all" } })).toMatchObject({
      code: "INVALID_ARGUMENT",
      field: "configuration.mode",
      allowed: ["ask", "deny-all"],
    });
    await on.door.call({ action: "run", sessionUlid: session, clientRequestId: key("run-2") });
    await on.baton.eventually("it asks", async () => (await decisions()) === 1, 30_000);
    await sessions().abort(caller, { sessionUlid: session });
  }, 120_000);
});

test("a message that is longer than an answer may be is cut, and its resource has all of it", async () => {
  const bytes = 400_000;
  const session = await launchScripted(on.baton, on.stack, {
    key: key("long"),
    turns: [[{ say: "it begins" }, { flood: { count: bytes / 1_000, bytes: 1_000 } }, { say: "that is all" }]],
  });
  await on.baton.turnsEnded(session, 1, 60_000);
  const answer = await on.door.call({ action: "events", sessionUlid: session, types: ["message.completed"], maxBytes: 204_800 });
  type Said = { seq: number; truncated?: boolean; bytes: number; resource: string; data: { text: string } };
  const cut = (answer.data!["events"] as Said[]).find((event) => event.truncated);
  expect(cut).toMatchObject({ truncated: true, resource: `session://${session}/transcript/${cut?.seq}` });
  expect(cut?.data.text.length).toBeLessThan(204_800);
  expect(cut?.bytes).toBeGreaterThan(bytes);
  const whole = await on.door.read(cut?.resource ?? "");
  expect(whole).toContain("x\n");
  expect(whole.split("x".repeat(999)).length).toBe(bytes / 1_000 + 1);
  expect(whole).toContain(`/transcript/${(cut?.seq ?? 0) + 1}`);
}, 120_000);

test("a key that is repeated late does nothing again, and its answer is that of the first time", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("late"), turns: [1, 2, 3, 4].map((n) => [{ say: `turn ${n}` }]) });
  await on.baton.turnsEnded(session, 1, 30_000);
  const ask = { sessionUlid: session, prompt: "two", clientRequestId: key("late-2") };
  const { data: first } = await sessions().input(caller, ask);
  await on.baton.turnsEnded(session, 2, 30_000);
  const { data: again } = await sessions().input(caller, ask);
  expect(again).toMatchObject({ replayed: true, inputId: first["inputId"], cursors: first["cursors"], baselineSeq: first["baselineSeq"] });
  // So whoever repeats it learns of the turn's end, which was long ago.
  expect(await sessions().wait({ sessionUlid: session, until: "idle", cursors: { [session]: Number(again["baselineSeq"]) } })).toMatchObject({ met: true });

  const close = { sessionUlid: session, clientRequestId: key("late-close") };
  await sessions().close(caller, close);
  await on.baton.eventually("it is closed", async () => (await sessions().get({ sessionUlid: session }))["status"] === "CLOSED", 30_000);
  await sessions().input(caller, { sessionUlid: session, prompt: "three" });
  await on.baton.turnsEnded(session, 3, 30_000);
  expect(await sessions().close(caller, close)).toMatchObject({ replayed: true, closing: true, status: "RUNNING" });
  // A close that went through would have ended this generation before, or with, the next turn.
  await sessions().input(caller, { sessionUlid: session, prompt: "four" });
  await on.baton.turnsEnded(session, 4, 30_000);
  expect(await sessions().get({ sessionUlid: session })).toMatchObject({ status: "IDLE", generation: 2 });
  expect(await on.baton.outcomes(session)).toEqual(Array.from({ length: 4 }, () => "completed"));
  await on.baton.closeSession(session);
}, 120_000);

test("done means that nothing of what was asked for is left, however it was filtered or cut", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("done"), turns: [[{ say: "one" }]] });
  await on.baton.turnsEnded(session, 1, 30_000);
  const name = String((await sessions().get({ sessionUlid: session }))["name"]);
  expect((await sessions().list({ rootUlid: name })).data["sessions"]).toMatchObject([{ sessionUlid: session, name }]);
  expect((await sessions().list({ parentUlid: session.toLowerCase() })).data["sessions"]).toEqual([]);
  await on.baton.closeSession(session);
  const some = { sessionUlid: session, types: ["turn.completed"], waitMs: 5_000 };
  const page = (await sessions().events({ ...some, sinceSeq: 0 })) as { nextSeq: number; done: boolean; events: unknown[] };
  expect(page).toMatchObject({ done: false, events: [{ type: "turn.completed" }] });
  expect(await sessions().events({ ...some, sinceSeq: page.nextSeq })).toMatchObject({ done: true, events: [] });
  const rows = Array.from({ length: 3 }, (_, n) => `($1, ${1_000 + n}, 'T', 'I', 'message', 'piece ${n}')`).join(", ");
  await on.baton.query(`insert into delta (session_ulid, seq, turn_id, item_id, kind, text) values ${rows}`, [session]);
  const first = await sessions().liveDeltas({ sessionUlid: session, sinceSeq: 999, limit: 2 });
  expect(first).toMatchObject({ done: false, truncated: true, nextSeq: 1_001 });
  expect(await sessions().liveDeltas({ sessionUlid: session, sinceSeq: 1_001, limit: 2 })).toMatchObject({ done: true, truncated: false, nextSeq: 1_002 });
}, 120_000);

test("a session whose close was asked for is closing until its agent is gone", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("closing"), turns: [["ignoreSignals", "hang"], [{ say: "again" }]] });
  await working(session);
  await sessions().close(caller, { sessionUlid: session });
  expect(await sessions().get({ sessionUlid: session })).toMatchObject({ status: "RUNNING", state: "closing", statusReason: "close", activity: "active" });
  const listed = await sessions().list({ status: "closing" });
  expect(listed.data["sessions"]).toEqual([expect.objectContaining({ sessionUlid: session, state: "closing" })]);
  await on.baton.eventually("it is closed", async () => (await sessions().get({ sessionUlid: session }))["state"] === "closed", 30_000);
  // Its next generation is none that is closing.
  await sessions().input(caller, { sessionUlid: session, prompt: "again" });
  await on.baton.turnsEnded(session, 2, 30_000);
  expect(await sessions().get({ sessionUlid: session })).toMatchObject({ state: "idle", generation: 2 });
  await on.baton.closeSession(session);
}, 120_000);

test("a close that Temporal never heard of leaves a session that is shown as it is", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: key("unheard"), turns: [[{ say: "one" }], [{ say: "two" }]] });
  await on.baton.turnsEnded(session, 1, 30_000);
  const cutOff = await openTestBaton({ ...on.stack, env: { ...on.stack.env, TEMPORAL_ADDRESS: "127.0.0.1:1" } });
  await expect(cutOff.sdk.sessions.close(caller, { sessionUlid: session })).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await cutOff.close();
  expect(await sessions().get({ sessionUlid: session })).toMatchObject({ state: "idle" });
  await on.baton.closeSession(session);
}, 120_000);
