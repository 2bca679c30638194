import { setTimeout as sleep } from "node:timers/promises";
import { launchNumbered, launchScripted } from "../support/launch.ts";
import { type McpDoor, openMcpDoor } from "../support/mcp-door.ts";
import { kill, onStack } from "../support/on-stack.ts";

const kills = process.env["BATON_TEST_FULL"] === "1" ? 20 : 5;
const on = onStack({ start: ["engine", "host"] });
const doors: McpDoor[] = [];
afterAll(() => Promise.all(doors.map((door) => door.close().catch(() => undefined))));

interface Item {
  seq: number;
}
/** A reader as an orchestrator is one: long polls by its own cursor; a call that fails is repeated at the other gateway with the same cursor. */
function reader(a: { action: "events" | "live_deltas"; sessionUlid: string; stop: () => boolean }): {
  items: Item[];
  failed: () => number;
  done: Promise<void>;
} {
  const items: Item[] = [];
  let failed = 0;
  let sinceSeq = 0;
  let at = 0;
  const done = (async () => {
    while (!a.stop()) {
      const door = doors[at % 2];
      try {
        const answer = await withLimit(door!.call({ action: a.action, sessionUlid: a.sessionUlid, sinceSeq, waitMs: 3_000 }), 10_000);
        if (!answer.ok) throw new Error(answer.error?.code);
        items.push(...((answer.data?.[a.action === "events" ? "events" : "deltas"] ?? []) as Item[]));
        sinceSeq = Number(answer.data?.["nextSeq"]);
      } catch {
        failed += 1;
        at += 1;
        await sleep(20);
      }
    }
  })();
  return { items, failed: () => failed, done };
}
/** A killed server's client may wait for an answer for ever. */
function withLimit<T>(call: Promise<T>, ms: number): Promise<T> {
  call.catch(() => undefined);
  return Promise.race([call, sleep(ms, undefined, { ref: false }).then(() => Promise.reject(new Error("no answer")))]);
}

test(`kill -9 of a gateway in the middle of long polls, ${kills} times: readers go on at another by cursor, no gap, no repeat (row 4)`, async () => {
  doors.push(...(await Promise.all([openMcpDoor(on.stack), openMcpDoor(on.stack)])));
  const key = (name: string) => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
  const words = Array.from({ length: kills * 60 }, (_, n) => [{ say: `w${n} ` }, { wait: 40 }]).flat();
  const [numbered, talking] = await Promise.all([
    launchNumbered(on.baton, on.stack, { key: key("numbers"), count: kills * 50, everyMs: 50 }),
    launchScripted(on.baton, on.stack, { key: key("words"), turns: [words] }),
  ]);
  let stop = false;
  const events = reader({ action: "events", sessionUlid: numbered, stop: () => stop });
  const deltas = reader({ action: "live_deltas", sessionUlid: talking, stop: () => stop });
  await on.baton.eventually("both readers have something", async () => events.items.length > 5 && deltas.items.length > 5, 60_000);
  for (let n = 0; n < kills; n++) {
    const victim = n % 2;
    const old = doors[victim]!;
    await sleep(200 + ((n * 137) % 400));
    await kill(old.process);
    await old.close().catch(() => undefined);
    doors[victim] = await openMcpDoor(on.stack);
  }
  await on.baton.turnsEnded(numbered, 1, 120_000);
  await on.baton.turnsEnded(talking, 1, 120_000);
  const [stored, said] = await Promise.all([
    on.baton.query<{ seq: string }>("select seq from event where session_ulid = $1 order by seq", [numbered]),
    on.baton.query<{ seq: string; text: string }>("select seq, text from delta where session_ulid = $1 order by seq", [talking]),
  ]);
  await on.baton
    .eventually("the readers have it all", async () => events.items.length >= stored.length && deltas.items.length >= said.length, 30_000)
    .catch(() => undefined);
  stop = true;
  await Promise.all([events.done, deltas.done]);

  // The kills met readers: some calls failed.
  expect(events.failed() + deltas.failed()).toBeGreaterThanOrEqual(kills / 2);
  expect(events.items.map((item) => item.seq)).toEqual(stored.map((row) => Number(row.seq)));
  expect(deltas.items.map((item) => item.seq)).toEqual(said.map((row) => Number(row.seq)));
  expect(said.length).toBeGreaterThan(20);
  const whole = deltas.items.map((item) => (item as unknown as { text: string }).text).join("");
  expect(whole).toBe(said.map((row) => row.text).join(""));
  expect(whole).toContain(`w${kills * 60 - 1} `);
}, 300_000);
