import { ulid } from "ulid";
import { onRows } from "./session-rows.ts";

const on = onRows();
const full = process.env["BATON_TEST_FULL"] === "1";
const bytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
type Row = Record<string, unknown> & { sessionUlid: string };
const say = (sessionUlid: string, text: string) =>
  on.store.events.append(sessionUlid, [{ key: ulid(), event: { type: "message.completed", data: { role: "agent", text } } }]);

describe("a long transcript", () => {
  const megabytes = full ? 50 : 5;
  let sessionUlid = "";
  const every = 20_000;
  beforeAll(async () => {
    sessionUlid = await on.session();
    await (await on.turn(sessionUlid)).end();
    const text = Array.from({ length: every / 40 }, (_, i) => `line ${i} ${Math.random()}`.padEnd(39)).join("\n");
    for (let i = 0; i < (megabytes * 1_000_000) / every; i += 1) await say(sessionUlid, `${i}: ${text}`);
    for (let i = 0; i < 100; i += 1) await say(sessionUlid, `short ${i}`);
  }, 120_000);

  test("every read is bounded, and a cut text leads to the whole", async () => {
    const all = (await on.baton.sessions.events({ sessionUlid })) as {
      events: Row[];
      gap: { fromSeq: number; toSeq: number };
      lastSeq: number;
      nextSeq: number;
    };
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
    const whole = await on.baton.sessions.event({ sessionUlid, seq: cut.seq });
    expect((whole!.data as { text: string }).text.length).toBeGreaterThan(every - 100);
    expect(await on.baton.sessions.event({ sessionUlid, seq: 1_000_000 })).toBeNull();

    for (const format of ["json", "transcript"] as const)
      for (const maxBytes of [undefined, 4_000, 204_800]) {
        const seen: number[] = [];
        // Of a very long one the end is enough: pages cost the same everywhere.
        const from = Math.max(0, all.lastSeq - 400);
        let sinceSeq = from;
        let pages = 0;
        for (let end = false; !end && pages < 3_000; pages += 1) {
          const page = (await on.baton.sessions.events({ sessionUlid, sinceSeq, format, ...(maxBytes === undefined ? {} : { maxBytes }) })) as Row & {
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
    const tail = (await on.baton.sessions.events({ sessionUlid, tail: 50 })) as { events: Row[]; nextSeq: number; lastSeq: number };
    expect(tail.events.at(-1)?.["seq"]).toBe(tail.lastSeq);
    expect(tail.events).toHaveLength(50);
    const view = await on.baton.sessions.get({ sessionUlid });
    expect(bytes(view)).toBeLessThan(32_768);
  }, 120_000);

  test("a transcript has the prompts, the answers, and their order", async () => {
    const small = await on.session();
    const running = await on.turn(small);
    await say(small, "My answer.");
    await running.end();
    const { transcript } = (await on.baton.sessions.events({ sessionUlid: small, format: "transcript" })) as { transcript: string };
    expect(transcript).toBe("## Turn 1\n\n**prompt**: do it\n\n**agent**: My answer.\n\n*turn ended: completed*");
  });
});
