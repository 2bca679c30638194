import { ulid } from "ulid";
import type { Baton } from "../../client/open-baton.ts";
import { onRows } from "./session-rows.ts";

const on = onRows();
const bytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
type Row = Record<string, unknown> & { sessionUlid: string };
const listed = async (args: Parameters<Baton["sessions"]["list"]>[0]): Promise<Row[]> => (await on.baton.sessions.list(args)).data["sessions"] as Row[];

test("200 rows of the longest names fit: each at most 900 bytes, all in 200 KB, in pages that miss nothing", async () => {
  const long = (length: number) => "x".repeat(length);
  const made: string[] = [];
  for (let i = 0; i < 205; i += 1)
    made.push(
      await on.session({
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
  await (await on.turn(made[204]!)).end({ outcome: "failed", failure: { class: "auth", message: long(3_000), retryable: false } });
  // The longest of all: three that wait for an answer.
  const asking = await on.turn(made[203]!);
  const asked = [1, 2, 3].map((n) => ({ approvalId: ulid(), kind: "permission" as const, title: long(300), options: [], requestKey: `k${n}` }));
  await on.store.events.append(
    made[203]!,
    asked.map((data) => ({ key: data.approvalId, event: { type: "approval.requested" as const, turnId: asking.turnId, data } })),
  );
  const { data, page } = await on.baton.sessions.list({ projectKey: "LONG" });
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
  const rest = await on.baton.sessions.list({ projectKey: "LONG", cursor: page!.nextCursor });
  expect([...rows, ...(rest.data["sessions"] as Row[])].map((row) => row.sessionUlid)).toEqual(made.toReversed());
  expect(rest.page).toBeUndefined();
}, 60_000);

test("every filter of list, and attention oldest first with its totals", async () => {
  const root = await on.session({ projectKey: "F", contextRef: "TASK-F-1", role: "executor", agentHandle: "fay", labels: { team: "red", urgent: "" } });
  const child = await on.session({ projectKey: "F", contextRef: "spike", role: "reviewer", agentHandle: "ray", parentUlid: root, labels: { team: "blue" } });
  const grandchild = await on.session({
    projectKey: "F",
    contextRef: "TASK-F-1",
    role: "auditor",
    agentHandle: "ann",
    parentUlid: child,
    chainId: "01JCHA1N000000000000000000",
  });
  const failed = await on.turn(grandchild);
  await failed.end({ outcome: "failed", failure: { class: "auth", message: "log in", retryable: false } });
  const asks = await on.turn(root);
  await on.store.events.append(root, [
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
  await expect(on.baton.sessions.list({ status: "sleeping" })).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { field: "status" } });
  const { data } = await on.baton.sessions.list({ projectKey: "F", attention: true });
  expect((data["sessions"] as Row[]).map((row) => row.sessionUlid)).toEqual([root, grandchild]);
  expect(data["totals"]).toEqual({ sessions: 2, costMicros: 700 });
  const first = await on.baton.sessions.list({ projectKey: "F", attention: true, limit: 1 });
  expect((first.data["sessions"] as Row[]).map((row) => row.sessionUlid)).toEqual([root]);
  expect(first.data["totals"]).toEqual({ sessions: 2, costMicros: 700 });
  const next = await on.baton.sessions.list({ projectKey: "F", attention: true, limit: 1, cursor: first.page!.nextCursor });
  expect((next.data["sessions"] as Row[]).map((row) => row.sessionUlid)).toEqual([grandchild]);
  expect((await listed({ projectKey: "F", rootUlid: root }))[0]).toMatchObject({ rootUlid: root, parentUlid: child });
});
