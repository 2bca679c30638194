import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { agentProcesses, audit } from "./support/auditor.ts";
import type { StopPlan } from "./support/host-under-test.ts";
import { launchNumbered } from "./support/launch.ts";
import { onStack } from "./support/on-stack.ts";
import { temporalCli } from "./support/temporal-cli.ts";
import { stopPoints } from "./support/stop-points.ts";

const actions = ["kill", "freeze", "swallow"] as const;

const seed = Number(process.env["BATON_TEST_SEED"] ?? Date.now() % 1_000_000);
const plans: StopPlan[] = shuffled(
  stopPoints.flatMap((name) => actions.map((action) => ({ name, action, hit: 1 }))),
  seed,
).map((plan, at) => (plan.name.startsWith("lane") ? { ...plan, hit: 1 + (at % 4) } : plan));

describe(`interleavings (BATON_TEST_SEED=${seed})`, () => {
  const on = onStack({ start: ["engine"] });

  test.each(plans)(
    "$action at $name (passing $hit)",
    async (plan) => {
      const fired = join(on.stack.home, `fired-${plan.name}-${plan.action}`);
      const first = await on.stack.startHost({ stop: plan, fired });
      const second = await on.stack.startHost({ standby: true });
      const sessions = await Promise.all(
        [1, 2].map((n) => launchNumbered(on.baton, on.stack, { key: `${plan.name}.${plan.action}.${n}`, count: 8, everyMs: 25 })),
      );
      if (plan.action === "freeze") void thaw(first.pid ?? 0, fired);
      for (const session of sessions) await on.baton.turnsEnded(session, 1, 45_000);
      expect(existsSync(fired)).toBe(true);
      expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions, turnsPerSession: 1 })).toEqual([]);
      for (const session of sessions) {
        expect(await on.baton.outcomes(session)).toEqual(["completed"]);
        await on.baton.closeSession(session);
      }
      await on.baton.eventually("no process of a closed session", async () => agentProcesses(sessions).length === 0, 20_000);
      for (const host of [first, second]) if (host.exitCode === null && host.signalCode === null) host.kill("SIGKILL");
    },
    90_000,
  );

  // The thawed worker of above notes its own report; here nobody does but who fetches the stored result.
  test("a worker that freezes for good behind the result: a later attempt fetches it, and it counts as reported", async () => {
    const fired = join(on.stack.home, "fired-for-good");
    const first = await on.stack.startHost({ stop: { name: "completed", action: "freeze", hit: 1 }, fired });
    const session = await launchNumbered(on.baton, on.stack, { key: "frozen-for-good", count: 8, everyMs: 25 });
    await on.baton.eventually("it froze", async () => existsSync(fired), 30_000);
    const workflow = (...command: string[]): Promise<string> => temporalCli("workflow", ...command, "--workflow-id", "frozen-for-good", "--output", "json");
    // Not before: a successor that takes the host over in time reports it as this attempt's.
    await on.baton.eventually("the attempt's time is up", async () => (await workflow("show")).includes("EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT"), 60_000);
    const second = await on.stack.startHost({ standby: true });
    // Some attempts may still go to the frozen worker's polls.
    await on.baton.eventually(
      "a later attempt brought the result",
      async () => (await workflow("show")).includes("EVENT_TYPE_ACTIVITY_TASK_COMPLETED"),
      120_000,
    );
    await on.baton.turnsEnded(session, 1, 45_000);
    expect(await on.baton.outcomes(session)).toEqual(["completed"]);
    await on.baton.closeSession(session);
    await on.baton.eventually("no process of a closed session", async () => agentProcesses([session]).length === 0, 20_000);
    for (const host of [first, second]) host.kill("SIGKILL");
  }, 300_000);

  test("every stop point was reached", () => {
    const reached = new Set(readFileSync(join(on.stack.home, "stop-points.log"), "utf8").trim().split("\n"));
    console.log(`stop points reached: ${[...reached].toSorted().join(", ")}`);
    expect([...reached].toSorted()).toEqual(stopPoints.toSorted());
  });
});

/** Lets a frozen worker go on when its successor has long been at work. */
async function thaw(pid: number, fired: string): Promise<void> {
  while (!existsSync(fired)) await sleep(50);
  await sleep(7_000, undefined, { ref: false });
  try {
    process.kill(pid, "SIGCONT");
  } catch {
    /* it was ended meanwhile */
  }
}

function shuffled<T>(items: T[], from: number): T[] {
  let state = from >>> 0 || 1;
  const next = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  return items
    .map((item) => ({ item, at: next() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
