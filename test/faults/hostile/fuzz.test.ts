import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { encodeBatch } from "../../../store/lane-batch.ts";
import { bench } from "../../runner/harness.ts";
import { freshDatabase } from "../../support/fresh-database.ts";
import { randomOf } from "./damage.ts";

const recordings = join(import.meta.dirname, "recordings");
const names = readdirSync(recordings).toSorted();
const agent = join(import.meta.dirname, "..", "support", "replay-agent.ts");
const rounds = process.env["BATON_TEST_FULL"] === "1" ? 500 : 30;
const given = process.env["BATON_TEST_SEED"];
const outcomes = new Map<string, number>();
let db: pg.Pool;
let drop: () => Promise<void>;
beforeAll(async () => {
  const database = await freshDatabase();
  drop = () => database.drop();
  db = new pg.Pool({ connectionString: database.url, max: 2 });
});
afterAll(async () => {
  await db.end();
  await drop();
});

/** One recorded turn, damaged, through a real runner and driver, and the same turn undamaged behind it. */
async function damagedTurn(seed: number): Promise<string> {
  const b = bench(null);
  const name = names[randomOf(seed)(names.length)] ?? "";
  const command = [process.execPath, agent, join(recordings, name), String(seed), join(b.cwd, "prompted")];
  const limits = { stallMs: 1_500, permissionMode: "approve-all", command } as const;
  const spec = b.spec({ maxEventBytes: 256_000 }, limits);
  const first = await b.spawn(spec);
  await first.request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "go" });
  const { end, providerSessionId } = await b.ended(spec, "T1");
  // The same agent if it lives, else a new one that goes on with the conversation.
  let where = spec;
  let connection = first;
  const reply = await first.request({ cmd: "prompt", turnId: "T2", inputId: "I2", text: "again" }).catch(() => ({ ok: false }));
  if (!reply.ok) {
    first.detach();
    for (let waited = 0; existsSync(spec.socketPath) && waited < 10_000; waited += 50) await sleep(50);
    where = b.spec({ epoch: 2 }, { ...limits, ...(providerSessionId === null ? {} : { resume: providerSessionId }) });
    connection = await b.spawn(where);
    await connection.request({ cmd: "prompt", turnId: "T2", inputId: "I2", text: "again" });
  }
  const good = await b.ended(where, "T2");
  expect(good.end).toMatchObject({ outcome: "completed" });
  expect(good.end.finalMessage).not.toBe("");
  for (const one of new Set([spec, where])) {
    // The harness throws on a record that cannot be read again; Postgres takes what the lane makes of the rest.
    const records = await b.records(one);
    const batch = {
      sessionUlid: b.sessionUlid,
      epoch: 1,
      owner: "o",
      spoolId: "s",
      start: 0,
      turnId: "T1",
      attempt: 1,
      records: records.map((record, at) => ({ record, end: at + 1 })),
    };
    await db.query("select $1::jsonb", [encodeBatch(batch)]);
  }
  expect(b.runnerLog()).not.toMatch(/uncaughtException|unhandledRejection/);
  await connection.request({ cmd: "close", reason: "test" }).catch(() => undefined);
  connection.detach();
  return end.failure?.class ?? end.outcome;
}

test(`${rounds} damaged recordings end their turns, and the next turn of each is good (row 20)`, async () => {
  const start = given === undefined ? 1 : Number(given);
  const seeds = Array.from({ length: given === undefined ? rounds : 1 }, (_, n) => start + n);
  const wrong: string[] = [];
  let next = 0;
  await Promise.all(
    Array.from({ length: 3 }, async () => {
      for (let seed = seeds[next++]; seed !== undefined; seed = seeds[next++]) {
        try {
          const how = await damagedTurn(seed);
          outcomes.set(how, (outcomes.get(how) ?? 0) + 1);
        } catch (error) {
          wrong.push(`BATON_TEST_SEED=${seed}: ${(error as Error).message.slice(0, 1_000)}`);
        }
      }
    }),
  );
  console.log(`damaged turns ended as ${JSON.stringify(Object.fromEntries(outcomes))}`);
  expect(wrong).toEqual([]);
  if (given === undefined) expect(outcomes.size).toBeGreaterThan(1);
}, 1_800_000);
