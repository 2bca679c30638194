import { until } from "../support/until.ts";
import { openBaton } from "../../client/open-baton.ts";
import { onBaton } from "./on-baton.ts";
import { batonOptions } from "./support.ts";

const caller = { principal: "local" };
const on = onBaton();

const bytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
type Task = Record<string, unknown>;
const make = (taskKey: string, more: object = {}) => on.baton.tasks.create(caller, { taskKey, title: taskKey, repositoryPath: on.repositoryPath, ...more });
const statusOf = async (taskKey: string) => ((await on.baton.tasks.get(taskKey))["task"] as Task)["status"];

test("a step is judged on what the task is when it is written, and the audit row says from where, to where and why", async () => {
  await make("STEP-1");
  await on.sql.query("update task set status = 'verified' where task_key = 'STEP-1'");
  const blocked = async (n: number) => (await on.sql.query("select 1 from pg_locks where not granted and pid <> pg_backend_pid()")).rowCount === n;
  // The first one has written, and waits for its audit row, while the second one comes.
  await on.sql.query("begin; lock table audit in share mode");
  const back = on.baton.tasks.changeStatus(caller, { taskKey: "STEP-1", to: "in_progress", reason: "the build broke", actorHandle: "@nora" });
  await until("the first one is in its transaction", () => blocked(1));
  const done = on.baton.tasks.changeStatus(caller, { taskKey: "STEP-1", to: "done" }).catch((error: unknown) => error);
  await until("the second one is in its own", () => blocked(2));
  await on.sql.query("commit");
  expect(await back).toMatchObject({ task: { status: "in_progress" } });
  expect(await done).toMatchObject({ code: "CONFLICT_STATE", detail: { currentState: "in_progress" } });
  expect(await statusOf("STEP-1")).toBe("in_progress");
  const { rows } = await on.sql.query("select actor, detail from audit where action = 'task.change_status' and target = 'STEP-1'");
  expect(rows).toEqual([{ actor: "nora", detail: { from: "verified", to: "in_progress", reason: "the build broke" } }]);
});

test("two creates with one key at once are one; another one of a task that is there is refused, with the call that shows it", async () => {
  const options = batonOptions({ home: on.home, databaseUrl: on.databaseUrl, instance: "test" });
  const first = Promise.withResolvers<void>();
  let inspections = 0;
  const slow = await openBaton({
    ...options,
    inspectRepository: async (...args) => {
      inspections += 1;
      if (inspections === 1) await first.promise;
      return options.inspectRepository(...args);
    },
  });
  try {
    const args = { clientRequestId: "twice", taskKey: "TWICE-1", title: "x", repositoryPath: on.repositoryPath };
    const held = slow.tasks.create(caller, args);
    await until("it looks at the repository", () => inspections === 1);
    const { task } = await slow.tasks.create(caller, args);
    first.resolve();
    expect(await held).toEqual({ task, replayed: true });
    const next = [expect.objectContaining({ args: { action: "get", taskKey: "TWICE-1" } })];
    await expect(make("TWICE-1")).rejects.toMatchObject({ code: "CONFLICT_STATE", detail: { field: "taskKey", next } });
  } finally {
    await slow.close();
  }
});

test("a list is bounded and paged, with the beginning of each description; one task is cut to what was asked for, and says so", async () => {
  const description = "ä".repeat(45_000);
  const texts = { title: "t".repeat(300), description, acceptanceCriteria: ["c".repeat(50_000)], requirements: ["short"] };
  for (let n = 0; n < 20; n += 1) {
    const made = await make(`BIG-${n + 10}`, n % 2 ? { description: "short" } : texts);
    expect(bytes(made)).toBeLessThan(32_768);
  }
  const seen: Task[] = [];
  for (let cursor: string | undefined, more = true; more;) {
    const { data, page } = await on.baton.tasks.list({ projectKey: "BIG", ...(cursor ? { cursor } : {}) });
    expect(bytes(data)).toBeLessThan(32_768);
    seen.push(...(data["tasks"] as Task[]));
    more = (cursor = page?.nextCursor) !== undefined;
  }
  expect(seen.map((task) => task["taskKey"])).toEqual(Array.from({ length: 20 }, (_, n) => `BIG-${n + 10}`));
  expect(seen[0]).toMatchObject({
    description: "ä".repeat(200),
    acceptanceCriteria: null,
    requirements: ["short"],
    truncated: { description: { truncated: true, bytes: 90_000 }, acceptanceCriteria: { truncated: true } },
  });
  expect(seen[1]).toMatchObject({ description: "short" });
  expect(seen[1]).not.toHaveProperty("truncated");
  const one = await on.baton.tasks.get("BIG-10");
  expect(one).toMatchObject({ task: { truncated: { description: { truncated: true, bytes: 90_000 } } } });
  expect(bytes(one)).toBeLessThan(32_800);
  expect(await on.baton.tasks.get("BIG-10", { maxBytes: 204_800 })).toMatchObject({ task: texts });
}, 60_000);

test("filters take a status in any case and a handle with its @; what is none is refused with those there are", async () => {
  await make("FILTER-1", { assigneeHandle: "@me" });
  const found = async (args: object) => ((await on.baton.tasks.list({ projectKey: "FILTER", ...args })).data["tasks"] as Task[]).length;
  expect([await found({ assigneeHandle: "@me" }), await found({ assigneeHandle: "me" }), await found({ status: "BACKLOG " })]).toEqual([1, 1, 1]);
  await expect(found({ status: "open" })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    detail: { field: "status", allowed: expect.arrayContaining(["done"]) },
  });
  await expect(found({ cursor: "no cursor" })).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { field: "cursor" } });
});
