import { join } from "node:path";
import pg from "pg";
import { type Baton, openBaton } from "../../client/open-baton.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";
import { batonOptions, repository } from "./support.ts";

const home = temporaryDirectory();
const caller = { principal: "local" };
let database: { url: string; drop(): Promise<void> };
let baton: Baton;
let sql: pg.Client;
let repositoryPath: string;

beforeAll(async () => {
  database = await freshDatabase();
  repositoryPath = repository(join(home, "repo"));
  baton = await openBaton(batonOptions({ home, databaseUrl: database.url, instance: "test" }));
  sql = new pg.Client({ connectionString: database.url });
  await sql.connect();
});
afterAll(async () => {
  await Promise.allSettled([baton.close(), sql.end()]);
  await database.drop();
});

type Task = Record<string, unknown>;
const make = (taskKey: string, more: object = {}) => baton.tasks.create(caller, { taskKey, title: taskKey, repositoryPath, ...more });
const statusOf = async (taskKey: string) => ((await baton.tasks.get(taskKey))["task"] as Task)["status"];

test("a step is judged on what the task is when it is written, and the audit row says from where, to where and why", async () => {
  await make("STEP-1");
  await sql.query("update task set status = 'verified' where task_key = 'STEP-1'");
  const blocked = async (n: number) => (await sql.query("select 1 from pg_locks where not granted and pid <> pg_backend_pid()")).rowCount === n;
  // The first one has written, and waits for its audit row, while the second one comes.
  await sql.query("begin; lock table audit in share mode");
  const back = baton.tasks.changeStatus(caller, { taskKey: "STEP-1", to: "in_progress", reason: "the build broke", actorHandle: "@nora" });
  await until("the first one is in its transaction", () => blocked(1));
  const done = baton.tasks.changeStatus(caller, { taskKey: "STEP-1", to: "done" }).catch((error: unknown) => error);
  await until("the second one is in its own", () => blocked(2));
  await sql.query("commit");
  expect(await back).toMatchObject({ task: { status: "in_progress" } });
  expect(await done).toMatchObject({ code: "CONFLICT_STATE", detail: { currentState: "in_progress" } });
  expect(await statusOf("STEP-1")).toBe("in_progress");
  const { rows } = await sql.query("select actor, detail from audit where action = 'task.change_status' and target = 'STEP-1'");
  expect(rows).toEqual([{ actor: "nora", detail: { from: "verified", to: "in_progress", reason: "the build broke" } }]);
});
