import { setTimeout as sleep } from "node:timers/promises";
import { hostileStack } from "./hostile-stack.ts";
import { forgetPeak, peakMegabytes } from "./memory.ts";

const quota = 2_000_000;
/** Runners read an agent that said too much slowly until it is gone: what may come above the quota. */
const above = 60_000_000;
const hostile = hostileStack(["well", "flood"], { BATON_STALL_MS: "3000", BATON_TURN_SLOTS: "4", BATON_MAX_SPOOL_BYTES: String(quota) });
const { on } = hostile;
const full = process.env["BATON_TEST_FULL"] === "1";

/** The most that the session's runners and the host held while `done` was awaited, in MB. */
async function watched(session: string, done: Promise<unknown>): Promise<{ runner: number; host: number }> {
  const pid = on.host.pid ?? 0;
  forgetPeak(pid);
  const before = peakMegabytes(pid) ?? 0;
  let runner = 0;
  let over = false;
  const end = done.finally(() => (over = true));
  end.catch(() => undefined);
  while (!over) {
    const rows = await on.baton.query<{ pid: number }>("select pid from runner where session_ulid = $1 and pid > 0", [session]);
    for (const row of rows) runner = Math.max(runner, peakMegabytes(row.pid) ?? 0);
    await sleep(50);
  }
  await end;
  return { runner, host: (peakMegabytes(pid) ?? 0) - before };
}

async function goesOn(session: string): Promise<void> {
  await hostile.input(session, "go on");
  await on.baton.turnsEnded(session, 2, 60_000);
  const ends = await hostile.events<{ outcome: string; finalMessage: string }>(session, "turn.completed");
  expect(ends[1]).toMatchObject({ outcome: "completed", finalMessage: "good: go on" });
  await hostile.expectKept([session], 2);
  await hostile.expectBystander();
}

test.each([
  ["words", "flood-words", "well", 23],
  ["lines that are no JSON", "flood-garbage", "well", 23],
  ["updates that say nothing", "flood-ignored", "well", 23],
  ["tool calls", "flood-tools", "well", 23],
  ["requests whose answers it never reads", "flood-asks", "well", 23],
  ["garbage before the handshake", "go", "flood", 23],
])(
  "an agent that floods us with %s is interrupted; disk and memory stay bounded, the session beside goes on (row 23)",
  async (_what, deed, start) => {
    const session = await hostile.launch(`${start}-${deed}`, start, deed);
    const peak = await watched(session, on.baton.turnsEnded(session, 1, 60_000));
    expect(await on.baton.outcomes(session)).toEqual(["interrupted"]);
    expect((await hostile.events<{ message: string }>(session, "notice.raised")).map((one) => one.message)).toEqual([
      `the agent said more than ${quota} bytes and is interrupted`,
    ]);
    expect(hostile.runnerBytes(session, "spool-")).toBeLessThan(quota + above);
    expect(hostile.runnerBytes(session, "raw-")).toBeLessThan(quota + above);
    // Said where the quota was reached, whichever of the two files was the first to reach it.
    const said = hostile.runnerFile(session, "spool-").indexOf("the agent said more than");
    expect(said).toBeLessThan(quota + 100_000);
    expect(peak.runner).toBeLessThan(400);
    expect(peak.host).toBeLessThan(300);
    await goesOn(session);
  },
  150_000,
);

test("an agent that floods us between two turns is ended; the next turn gets a new one (row 23)", async () => {
  const session = await hostile.launch("later", "well", "flood-later");
  await on.baton.turnsEnded(session, 1, 60_000);
  const [pid] = (await on.baton.query<{ pid: number }>("select pid from runner where session_ulid = $1", [session])).map((row) => row.pid);
  await on.baton.eventually("the runner's end", () => Promise.resolve(peakMegabytes(pid ?? 0) === null), 30_000);
  expect(hostile.runnerBytes(session, "spool-") + hostile.runnerBytes(session, "raw-")).toBeLessThan(quota + above);
  await goesOn(session);
  expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
  expect(hostile.memory(session).match(/start/g)).toHaveLength(2);
}, 150_000);

test("an agent that writes to stderr for ever costs no memory and counts as silent (row 23)", async () => {
  const session = await hostile.launch("stderr", "well", "flood-stderr");
  const peak = await watched(session, on.baton.turnsEnded(session, 1, 60_000));
  const [end] = await hostile.events<{ outcome: string; failure: { class: string } }>(session, "turn.completed");
  expect(end).toMatchObject({ outcome: "failed", failure: { class: "stalled" } });
  expect(peak.runner).toBeLessThan(400);
  await goesOn(session);
}, 150_000);

const megabytes = full ? [16, 128] : [16];
test.each(megabytes.map((size) => [size]))(
  "a line of %i MB costs no memory of its size, and the lines behind it are heard (row 21)",
  async (size) => {
    const session = await hostile.launch(`line-${size}`, "well", `huge-line ${size}`);
    const peak = await watched(session, on.baton.turnsEnded(session, 1, 60_000));
    expect(await on.baton.outcomes(session)).toEqual(["completed"]);
    expect((await hostile.events<{ reason: string }>(session, "line.unparsed")).map((one) => one.reason)).toEqual(["a line above 8 MB"]);
    // A Node process with this program in it and nothing to do takes about 70 MB.
    expect(peak.runner).toBeLessThan(200);
    expect(peak.host).toBeLessThan(150);
    await goesOn(session);
  },
  150_000,
);
