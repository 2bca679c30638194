import { ulid } from "ulid";
import pg from "pg";
import { type Baton, openBaton } from "../../client/open-baton.ts";
import { openStore } from "../../store/open-store.ts";
import type { NewSession } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import { batonOptions } from "../client/support.ts";
import { newSession } from "../store/rows.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";

const home = temporaryDirectory();
const full = process.env["BATON_TEST_FULL"] === "1";
let database: { url: string; drop(): Promise<void> };
let baton: Baton;
let store: Store;
let sql: pg.Client;
beforeAll(async () => {
  database = await freshDatabase();
  store = await openStore({ databaseUrl: database.url, instance: "test" });
  baton = await openBaton(batonOptions({ home, databaseUrl: database.url, instance: "test" }));
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
});
afterAll(async () => {
  await Promise.allSettled([baton.close(), store.close(), sql.end()]);
  await database.drop();
});

const bytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
type Row = Record<string, unknown> & { sessionUlid: string };
const listed = async (args: Parameters<Baton["sessions"]["list"]>[0]): Promise<Row[]> => (await baton.sessions.list(args)).data["sessions"] as Row[];
let n = 0;
/** An open, started, idle session without turns. */
async function session(change: Partial<NewSession> = {}): Promise<string> {
  const { sessionUlid } = await newSession(store, { branchName: `baton/r-${(n += 1)}`, ...change });
  await store.sessions.markStarted(sessionUlid, 1, "run-1");
  await sql.query("update session set workspace = 'ready' where session_ulid = $1", [sessionUlid]);
  return sessionUlid;
}
/** A turn that runs; `end` ends it. */
async function turn(sessionUlid: string): Promise<{ turnId: string; end(more?: Record<string, unknown>): Promise<void> }> {
  const turnId = ulid();
  await store.transaction((tx) =>
    store.inputs.insert(tx, { inputId: turnId, sessionUlid, prompt: "do it", delivery: "queue", source: "test", requestId: null, limit: 50 }),
  );
  const claim = await store.turns.claim({ sessionUlid, turnId, inputId: turnId, generation: 1, attempt: 1, taskToken: "t", owner: "o", minEpoch: 0 });
  if (claim.kind !== "claimed") throw new Error(claim.kind);
  const usage = { inputTokens: 10, outputTokens: 5, cachedTokens: 2, costMicros: 700 };
  return {
    turnId,
    async end(more = {}) {
      // Only a turn that began counts as used.
      await store.turns.start({ sessionUlid, epoch: claim.head.epoch, owner: "o", turnId, runnerId: "r", pid: 1 });
      const result = { outcome: "completed" as const, usage, providerSessionId: "thread", ...more };
      await store.turns.complete({
        sessionUlid,
        epoch: claim.head.epoch,
        owner: "o",
        turnId,
        result,
        finalMessage: `It is done.\n\n${"More of it. ".repeat(600)}`,
      });
    },
  };
}
const say = (sessionUlid: string, text: string) =>
  store.events.append(sessionUlid, [{ key: ulid(), event: { type: "message.completed", data: { role: "agent", text } } }]);

test("200 rows of the longest names fit: each at most 900 bytes, all in 200 KB, in pages that miss nothing", async () => {
  const long = (length: number) => "x".repeat(length);
  const made: string[] = [];
  for (let i = 0; i < 205; i += 1)
    made.push(
      await session({
        projectKey: "LONG",
        contextRef: `TASK-${long(60)}${i}`,
        taskKey: long(64),
        agentHandle: long(200),
        actor: long(200),
        launcherConfigKey: long(160),
        worktreePath: `/${long(300)}`,
        branchName: `baton/${long(150)}-${i}`,
        launchReason: long(120),
        labels: { team: long(200), [long(100)]: "b" },
      }),
    );
  await (await turn(made[204]!)).end({ outcome: "failed", failure: { class: "auth", message: long(3_000), retryable: false } });
  // The longest of all: three that wait for an answer.
  const asking = await turn(made[203]!);
  const asked = [1, 2, 3].map((n) => ({ approvalId: ulid(), kind: "permission" as const, title: long(300), options: [], requestKey: `k${n}` }));
  await store.events.append(
    made[203]!,
    asked.map((data) => ({ key: data.approvalId, event: { type: "approval.requested" as const, turnId: asking.turnId, data } })),
  );
  const { data, page } = await baton.sessions.list({ projectKey: "LONG" });
  const rows = data["sessions"] as Row[];
  expect(rows).toHaveLength(200);
  for (const row of rows) expect(bytes(row)).toBeLessThanOrEqual(900);
  expect(bytes(data)).toBeLessThan(204_800);
  expect(rows[0]).toMatchObject({
    sessionUlid: made[204],
    status: "IDLE",
    attention: [{ kind: "auth", seq: expect.any(Number) }],
    lastTurn: { n: 1, outcome: "failed" },
  });
  expect(rows[1]!["attention"]).toEqual([expect.objectContaining({ kind: "approval", approvalId: asked[0]!.approvalId, seq: expect.any(Number) })]);
  const rest = await baton.sessions.list({ projectKey: "LONG", cursor: page!.nextCursor });
  expect([...rows, ...(rest.data["sessions"] as Row[])].map((row) => row.sessionUlid)).toEqual(made.toReversed());
  expect(rest.page).toBeUndefined();
}, 60_000);

test("every filter of list, and attention oldest first with its totals", async () => {
  const root = await session({ projectKey: "F", contextRef: "TASK-F-1", role: "executor", agentHandle: "fay", labels: { team: "red", urgent: "" } });
  const child = await session({ projectKey: "F", contextRef: "spike", role: "reviewer", agentHandle: "ray", parentUlid: root, labels: { team: "blue" } });
  const grandchild = await session({
    projectKey: "F",
    contextRef: "TASK-F-1",
    role: "auditor",
    agentHandle: "ann",
    parentUlid: child,
    chainId: "01JCHA1N000000000000000000",
  });
  const failed = await turn(grandchild);
  await failed.end({ outcome: "failed", failure: { class: "auth", message: "log in", retryable: false } });
  const asks = await turn(root);
  await store.events.append(root, [
    {
      key: "ask",
      event: {
        type: "approval.requested",
        turnId: asks.turnId,
        data: { approvalId: ulid(), kind: "permission", title: "rm -rf?", options: [], requestKey: "k" },
      },
    },
  ]);
  const ulids = async (args: Parameters<Baton["sessions"]["list"]>[0]) => (await listed({ projectKey: "F", ...args })).map((row) => row.sessionUlid);
  expect(await ulids({})).toEqual([grandchild, child, root]);
  expect(await ulids({ contextRef: "F-1" })).toEqual([grandchild, root]);
  expect(await ulids({ contextRef: "TASK-F-1" })).toEqual([grandchild, root]);
  expect(await ulids({ contextRef: "spike" })).toEqual([child]);
  expect(await ulids({ role: "reviewer" })).toEqual([child]);
  expect(await ulids({ agentHandle: "@fay" })).toEqual([root]);
  expect(await ulids({ label: "team=red" })).toEqual([root]);
  expect(await ulids({ label: "team" })).toEqual([child, root]);
  expect(await ulids({ label: "urgent" })).toEqual([root]);
  expect(await ulids({ parentUlid: root })).toEqual([child]);
  expect(await ulids({ rootUlid: root })).toEqual([grandchild, child, root]);
  expect(await ulids({ chainId: "01JCHA1N000000000000000000" })).toEqual([grandchild]);
  expect(await ulids({ status: "running" })).toEqual([root]);
  expect(await ulids({ status: "Waiting" })).toEqual([root]);
  expect(await ulids({ status: "IDLE" })).toEqual([grandchild, child]);
  expect(await ulids({ status: "closed" })).toEqual([]);
  await expect(baton.sessions.list({ status: "sleeping" })).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { field: "status" } });
  const { data } = await baton.sessions.list({ projectKey: "F", attention: true });
  expect((data["sessions"] as Row[]).map((row) => row.sessionUlid)).toEqual([root, grandchild]);
  expect(data["totals"]).toEqual({ sessions: 2, costMicros: 700 });
  const first = await baton.sessions.list({ projectKey: "F", attention: true, limit: 1 });
  expect((first.data["sessions"] as Row[]).map((row) => row.sessionUlid)).toEqual([root]);
  expect(first.data["totals"]).toEqual({ sessions: 2, costMicros: 700 });
  const next = await baton.sessions.list({ projectKey: "F", attention: true, limit: 1, cursor: first.page!.nextCursor });
  expect((next.data["sessions"] as Row[]).map((row) => row.sessionUlid)).toEqual([grandchild]);
  expect((await listed({ projectKey: "F", rootUlid: root }))[0]).toMatchObject({ rootUlid: root, parentUlid: child });
});

test("get has every field of the contract; an older turn; a chain", async () => {
  const sessionUlid = await session({ args: { effective: { model: "m-1", limits: { wallSeconds: 60 } } }, clientRequestId: "k-1" });
  const first = await turn(sessionUlid);
  const candidate = { commit: "c".repeat(40), tree: "t".repeat(40), ref: "r", base: "b", diffStat: "1 file, +1 -0", files: 1 };
  await first.end({ candidate });
  const second = await turn(sessionUlid);
  await second.end();
  await turn(sessionUlid);
  const view = await baton.sessions.get({ sessionUlid });
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
  expect((await baton.sessions.get({ sessionUlid, turnId: first.turnId }))["lastTurn"]).toMatchObject({ n: 1, candidate });
  await expect(baton.sessions.get({ sessionUlid, turnId: "nope" })).rejects.toMatchObject({ code: "NOT_FOUND", detail: { field: "turnId" } });
  const chainId = ulid();
  await store.transaction((tx) =>
    store.chains.insert(tx, {
      chainId,
      workflowId: "chain-wf",
      taskKey: "F-1",
      principal: "p",
      config: { maxRounds: 3, roles: [] },
      executorUlid: sessionUlid,
    }),
  );
  await store.chains.markStarted(chainId, "run-c");
  await sql.query("update session set chain_id = $2 where session_ulid = $1", [sessionUlid, chainId]);
  for (const args of [{ chainId }, { sessionUlid: chainId }])
    expect((await baton.sessions.get(args))["chain"]).toMatchObject({
      chainId,
      usage: { costMicros: 1_400 },
      limits: { maxRounds: 3 },
      temporal: { workflowId: "chain-wf", runId: "run-c" },
      sessions: [{ sessionUlid, role: "executor" }],
    });
});

describe("wait", () => {
  test("idle, turn, attention and closed come after the cursor; any and all; by root and by task", async () => {
    const one = await session({ contextRef: "TASK-W-1" });
    const two = await session({ contextRef: "TASK-W-1", role: "reviewer", parentUlid: one });
    const now = async (args: Parameters<Baton["sessions"]["wait"]>[0]) => (await baton.sessions.wait({ waitMs: 0, ...args }))["met"];
    const first = await turn(one);
    expect(await now({ sessionUlids: [one, two], until: "idle" })).toBe(true);
    expect(await now({ sessionUlids: [one, two], until: "idle", mode: "all" })).toBe(false);
    expect(await now({ sessionUlids: [one], until: "turn" })).toBe(false);
    await first.end();
    expect(await now({ sessionUlids: [one], until: "turn" })).toBe(true);
    const { sessions } = (await baton.sessions.wait({ sessionUlids: [one], until: "idle" })) as { sessions: { cursors: { events: number } }[] };
    const cursor = sessions[0]!.cursors.events;
    for (const until of ["idle", "turn", "attention"] as const) expect(await now({ sessionUlids: [one], until, cursors: { [one]: cursor } })).toBe(false);
    // The cursor may be given by name, too.
    const { name } = (await baton.sessions.get({ sessionUlid: one })) as { name: string };
    expect(await now({ sessionUlids: [name], until: "turn", cursors: { [name]: cursor - 1 } })).toBe(true);
    const queued = await turn(one);
    expect(await now({ sessionUlids: [one], until: "idle", cursors: { [one]: 0 } })).toBe(false);
    await queued.end({ outcome: "unknown" });
    expect(await now({ sessionUlids: [one], until: "attention", cursors: { [one]: cursor } })).toBe(true);
    expect(await now({ sessionUlids: [one], until: "attention", cursors: { [one]: 1_000_000 } })).toBe(false);
    expect(await now({ rootUlid: one, until: "idle", mode: "all" })).toBe(true);
    expect(await now({ taskKey: "W-1", until: "closed" })).toBe(false);
    const closing = now({ taskKey: "W-1", until: "closed", waitMs: 20_000 });
    await new Promise((resolve) => setTimeout(resolve, 100));
    await store.sessions.end({ sessionUlid: two, generation: 1, state: "closed", reason: "test" });
    expect(await closing).toBe(true);
    expect(await now({ taskKey: "W-1", until: "closed", mode: "all" })).toBe(false);
    await expect(baton.sessions.wait({})).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(baton.sessions.wait({ sessionUlids: [one], taskKey: "W-1" })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      detail: { field: "taskKey" },
    });
    await expect(baton.sessions.wait({ sessionUlids: ["no-such"] })).rejects.toMatchObject({ code: "NOT_FOUND" });
  });

  test("no wake-up is lost: what happens while it looks ends it", async () => {
    for (let round = 0; round < 20; round += 1) {
      const sessionUlid = await session({ contextRef: `TASK-L-${round}` });
      const running = await turn(sessionUlid);
      const head = (await store.events.head(sessionUlid))!.lastSeq;
      const waiting = baton.sessions.wait({ sessionUlids: [sessionUlid], until: "turn", cursors: { [sessionUlid]: head }, waitMs: 25_000 });
      await new Promise((resolve) => setTimeout(resolve, round));
      await running.end();
      expect(await waiting).toMatchObject({ met: true, sessions: [{ sessionUlid, lastTurn: { outcome: "completed" } }] });
    }
  }, 60_000);
});

test("live_deltas sleeps through events that change no status, and ends at one that does", async () => {
  const sessionUlid = await session();
  const running = await turn(sessionUlid);
  let done = false;
  const waiting = baton.sessions.liveDeltas({ sessionUlid, waitMs: 20_000 }).finally(() => (done = true));
  for (let i = 0; i < 5; i += 1) await say(sessionUlid, "news");
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(done).toBe(false);
  await running.end();
  expect(await waiting).toMatchObject({ deltas: [], status: "IDLE", done: false });
});

describe("a long transcript", () => {
  const megabytes = full ? 50 : 5;
  let sessionUlid = "";
  const every = 20_000;
  beforeAll(async () => {
    sessionUlid = await session();
    await (await turn(sessionUlid)).end();
    const text = Array.from({ length: every / 40 }, (_, i) => `line ${i} ${Math.random()}`.padEnd(39)).join("\n");
    for (let i = 0; i < (megabytes * 1_000_000) / every; i += 1) await say(sessionUlid, `${i}: ${text}`);
    for (let i = 0; i < 100; i += 1) await say(sessionUlid, `short ${i}`);
  }, 120_000);

  test("every read is bounded, and a cut text leads to the whole", async () => {
    const all = (await baton.sessions.events({ sessionUlid })) as { events: Row[]; gap: { fromSeq: number; toSeq: number }; lastSeq: number; nextSeq: number };
    expect(bytes(all)).toBeLessThanOrEqual(204_800);
    const seqs = all.events.map((event) => Number(event["seq"]));
    expect(seqs.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(all.gap.fromSeq).toBe(21);
    expect(seqs[20]).toBe(all.gap.toSeq + 1);
    expect(seqs.at(-1)).toBe(all.lastSeq);
    expect(seqs.slice(20)).toEqual(seqs.slice(20).map((_, i) => all.gap.toSeq + 1 + i));
    const cut = all.events.find((event) => event["truncated"] === true && event["type"] === "message.completed") as Row & {
      seq: number;
      bytes: number;
      resource: string;
    };
    expect(cut.resource).toBe(`session://${sessionUlid}/transcript/${cut.seq}`);
    expect(cut.bytes).toBeGreaterThan(every);
    const whole = await baton.sessions.event({ sessionUlid, seq: cut.seq });
    expect((whole!.data as { text: string }).text.length).toBeGreaterThan(every - 100);
    expect(await baton.sessions.event({ sessionUlid, seq: 1_000_000 })).toBeNull();

    for (const format of ["json", "transcript"] as const)
      for (const maxBytes of [undefined, 4_000, 204_800]) {
        const seen: number[] = [];
        // Of a very long one the end is enough: pages cost the same everywhere.
        const from = Math.max(0, all.lastSeq - 400);
        let sinceSeq = from;
        let pages = 0;
        for (let end = false; !end && pages < 3_000; pages += 1) {
          const page = (await baton.sessions.events({ sessionUlid, sinceSeq, format, ...(maxBytes === undefined ? {} : { maxBytes }) })) as Row & {
            nextSeq: number;
            lastSeq: number;
            transcript?: string;
            events?: Row[];
          };
          expect(bytes(page)).toBeLessThanOrEqual((maxBytes ?? 32_768) + 600);
          if (page.events) seen.push(...page.events.map((event) => Number(event["seq"])));
          end = page.nextSeq === page.lastSeq;
          sinceSeq = page.nextSeq;
        }
        // Page after page, without a hole.
        expect(seen).toEqual(seen.map((_, i) => from + i + 1));
      }
    const tail = (await baton.sessions.events({ sessionUlid, tail: 50 })) as { events: Row[]; nextSeq: number; lastSeq: number };
    expect(tail.events.at(-1)?.["seq"]).toBe(tail.lastSeq);
    expect(tail.events).toHaveLength(50);
    const view = await baton.sessions.get({ sessionUlid });
    expect(bytes(view)).toBeLessThan(32_768);
  }, 120_000);

  test("a transcript has the prompts, the answers, and their order", async () => {
    const small = await session();
    const running = await turn(small);
    await say(small, "My answer.");
    await running.end();
    const { transcript } = (await baton.sessions.events({ sessionUlid: small, format: "transcript" })) as { transcript: string };
    expect(transcript).toBe("## Turn 1\n\n**prompt**: do it\n\n**agent**: My answer.\n\n*turn ended: completed*");
  });
});

test("approvals: questions, deadlines, pages", async () => {
  const sessionUlid = await session();
  const { turnId } = await turn(sessionUlid);
  const ids = Array.from({ length: 5 }, () => ulid());
  for (const [at, approvalId] of ids.entries())
    await store.events.append(sessionUlid, [
      {
        key: approvalId,
        event: {
          type: "approval.requested",
          turnId,
          data:
            at === 4
              ? {
                  approvalId,
                  kind: "question",
                  title: "Which?",
                  options: [{ id: "a", label: "A" }],
                  requestKey: "k",
                  detail: { deadline: "2030-01-01T00:00:00.000Z", onDeadline: "deny" },
                }
              : { approvalId, kind: "permission", title: `May I ${at}?`, options: [], requestKey: "k", detail: { why: "mode ask" } },
        },
      },
    ]);
  const pages: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < 5; page += 1) {
    const found = await baton.sessions.approvals({ sessionUlid, limit: 2, ...(cursor === undefined ? {} : { cursor }) });
    pages.push(...(found.data["approvals"] as { approvalId: string }[]).map((one) => one.approvalId));
    if (!found.page) break;
    cursor = found.page.nextCursor;
  }
  expect(pages).toEqual(ids.toReversed());
  const [question, permission] = (await baton.sessions.approvals({ sessionUlid, limit: 2 })).data["approvals"] as Record<string, unknown>[];
  expect(question).toMatchObject({
    deadline: "2030-01-01T00:00:00.000Z",
    onDeadline: "deny",
    questions: [{ text: "Which?", options: [{ id: "a", label: "A" }], freeText: true, multi: false }],
  });
  expect(permission).toMatchObject({ questions: [], onDeadline: "wait", why: "mode ask" });
  expect(permission).not.toHaveProperty("deadline");
  // A text answers the question that it names, once, and never a permission.
  const caller = { principal: "local" };
  const answer = (more: Record<string, unknown>) => baton.sessions.input(caller, { sessionUlid, prompt: "A", ...more });
  await expect(answer({ approvalId: ids[0] })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    detail: { next: ["allow", "deny"].map((decision) => ({ args: { action: "respond", approvalId: ids[0], decision } })) },
  });
  await expect(answer({ approvalId: "no-such" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect((await answer({ approvalId: ids[4], clientRequestId: "answer" })).data).toMatchObject({ delivery: "answer", approvalId: ids[4] });
  expect((await answer({ approvalId: ids[4], clientRequestId: "answer" })).data).toMatchObject({ replayed: true, approvalId: ids[4] });
  await expect(answer({ approvalId: ids[4] })).rejects.toMatchObject({ code: "CONFLICT_STATE" });
  const { attention } = (await baton.sessions.get({ sessionUlid })) as { attention: { seq: number }[] };
  expect(attention.map((one) => one.seq)).toEqual(attention.map((one) => one.seq).toSorted((a, b) => a - b));
});
