import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { agentProcesses } from "../support/auditor.ts";
import { launchScripted } from "../support/launch.ts";
import { kill, onStack } from "../support/on-stack.ts";
import { seeded } from "../support/seeded.ts";

const caller = { principal: "local", actor: "@test" };
const full = process.env["BATON_TEST_FULL"] === "1";
/** Where the host stands still when the callers act; `null`: it is not there at all yet, so that the worktree is not made. */
const moments = [null, "claimed", "runner.spawn.before", "runner.spawn.after", "prompt.sent", "prompt.told", "captured", "completed", "reported"] as const;
const deeds = ["abort", "twice", "with an input", "with a close"] as const;
const seed = Number(process.env["BATON_TEST_SEED"] ?? Date.now() % 1_000_000);
const random = seeded(seed);
// Every moment once, each with another deed; in full every pair.
const from = Math.floor(random() * deeds.length);
const plans = full
  ? moments.flatMap((moment) => deeds.map((deed) => ({ moment, deed })))
  : moments.map((moment, at) => ({ moment, deed: deeds[(from + at) % deeds.length] ?? "abort" }));

const on = onStack({ start: ["engine"], numbers: { BATON_HOST_LEASE_MS: "15000" } });
let number = 0;

interface InputState {
  input_id: string;
  state: string;
  turns: string;
}
const inputs = (session: string) =>
  on.baton.query<InputState>(
    "select i.input_id, i.state, count(t.turn_id) turns from input i left join turn t on t.input_id = i.input_id where i.session_ulid = $1 group by 1, 2, i.created_at order by i.created_at",
    [session],
  );
const turnIds = async (session: string, type: string): Promise<(string | null)[]> =>
  (await on.baton.query<{ turn_id: string }>("select turn_id from event where session_ulid = $1 and type = $2 order by seq", [session, type])).map(
    (row) => row.turn_id,
  );

/** All callers at once, in an order drawn from the seed, a few milliseconds apart. Resolves to what the aborts said. */
async function act(session: string, deed: (typeof deeds)[number]): Promise<boolean[]> {
  const aborts: Promise<Record<string, unknown>>[] = [];
  const abort = () => void aborts.push(on.baton.sdk.sessions.abort(caller, { sessionUlid: session, reason: "test" }));
  const others: Promise<unknown>[] = [];
  const acts: (() => void)[] = [abort];
  if (deed === "twice") acts.push(abort);
  if (deed === "with an input") acts.push(() => void others.push(on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "beside the abort" })));
  if (deed === "with a close") acts.push(() => void others.push(on.baton.sdk.sessions.close(caller, { sessionUlid: session })));
  for (const one of acts.toSorted(() => random() - 0.5)) {
    one();
    await sleep(random() * 30);
  }
  await Promise.all(others);
  return (await Promise.all(aborts)).map((answer) => answer["aborted"] === true);
}

// Before, not after: the last host closes what a failed test left open. A frozen one ends by KILL as well.
beforeEach(async () => {
  if (on.host) await kill(on.host);
});

describe(`an abort that races (BATON_TEST_SEED=${seed})`, () => {
  test.each(plans)(
    "$deed at $moment: one end of the turn, no agent after it, no input lost (row 19)",
    async ({ moment, deed }) => {
      const name = `${on.stack.env["BATON_INSTANCE"]}-abort-${++number}`;
      const fired = join(on.stack.home, `fired-${number}`);
      const host = moment === null ? null : await on.stack.startHost({ stop: { name: moment, hit: 1, action: "freeze" }, fired });
      if (host) on.host = host;
      // From `captured` on the agent has ended its turn itself.
      const ends = moment === "captured" || moment === "completed" || moment === "reported";
      const session = await launchScripted(on.baton, on.stack, {
        key: name,
        turns: [
          { on: "go", steps: ends ? [{ say: "done" }] : [{ say: "at work" }, "hang"] },
          { on: "e", steps: [{ say: "well again" }] },
        ],
      });
      if (moment !== null) await on.baton.eventually(`the host stands at ${moment}`, async () => existsSync(fired), 60_000);
      const aborted = await act(session, deed);
      await sleep(random() * 400);
      on.host = host ?? (await on.stack.startHost());
      on.host.kill("SIGCONT");

      const closed = deed === "with a close";
      const given = deed === "with an input" ? 2 : 1;
      await on.baton.eventually(
        "every input has its end",
        async () => (await inputs(session)).every((row) => row.state === "consumed" || row.state === "failed" || (closed && row.state === "recorded")),
        60_000,
      );
      if (closed)
        await on.baton.eventually(
          "it is closed",
          async () => (await on.baton.query("select 1 from session where session_ulid = $1 and closed_at is not null", [session])).length === 1,
          60_000,
        );
      await on.baton.eventually(
        "no turn is open",
        async () => (await on.baton.query("select 1 from turn where session_ulid = $1 and (state <> 'done' or reported_at is null)", [session])).length === 0,
        60_000,
      );

      const seen = await inputs(session);
      expect(seen).toHaveLength(given);
      for (const row of seen) expect(Number(row.turns)).toBeLessThanOrEqual(1);
      // Each turn that was opened has exactly one end.
      const ended = await turnIds(session, "turn.completed");
      expect(new Set(ended)).toEqual(new Set(await turnIds(session, "turn.queued")));
      expect(new Set(ended).size).toBe(ended.length);
      const [first] = await on.baton.query<{ outcome: string }>(
        "select data->>'outcome' outcome from event where session_ulid = $1 and type = 'turn.completed' and turn_id = $2",
        [session, seen[0]?.input_id],
      );
      // A turn that had not ended is not completed: an abort that said so was one, and of a turn without an end there is none.
      if (!ends && (aborted.includes(true) || closed)) expect([undefined, "interrupted"]).toContain(first?.outcome);
      if (moment === "completed" || moment === "reported") expect(first?.outcome).toBe("completed");
      if (!ends && !closed && deed !== "with an input") expect(aborted).toContain(true);
      await on.baton.eventually(
        "no agent hangs on",
        async () =>
          closed
            ? agentProcesses([session]).length === 0
            : (await on.baton.query("select 1 from turn where session_ulid = $1 and state <> 'done'", [session])).length === 0,
        30_000,
      );

      if (!closed) {
        // The session is usable: the next input has its turn.
        const before = ended.length;
        const { data } = await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "what else?" });
        await on.baton.eventually("the next turn ends", async () => (await turnIds(session, "turn.completed")).length > before, 60_000);
        expect((await turnIds(session, "turn.completed")).at(-1)).toBe(data["inputId"]);
        await on.baton.sdk.sessions.abort(caller, { sessionUlid: session });
        await on.baton.closeSession(session);
      }
      await on.baton.eventually("no process is left", async () => agentProcesses([session]).length === 0, 30_000);
    },
    200_000,
  );
});
