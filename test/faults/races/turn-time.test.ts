import { launchScripted } from "../support/launch.ts";
import { kill, onStack } from "../support/on-stack.ts";

const on = onStack({ start: ["engine", "host"] });

test("the time that a turn may take is not begun anew by a worker that takes it over (row 1)", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: "turn-time", turns: [[{ say: "one" }], [{ wait: 120_000 }]] });
  await on.baton.turnsEnded(session, 1, 60_000);
  await on.baton.sdk.sessions.run({ principal: "local", actor: "@test" }, { sessionUlid: session, configuration: { maxRuntimeSeconds: 20 } });
  const kept = () =>
    on.baton.query<{ ms: string }>("select agent_ms ms from turn where session_ulid = $1 and n = 2 and state = 'running' and agent_ms > 0", [session]);
  await on.baton.eventually("its time is kept", async () => (await kept()).length === 1, 15_000);
  await kill(on.host);
  const [before] = await kept();
  on.host = await on.stack.startHost();
  await on.baton.turnsEnded(session, 2, 60_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed", "limit"]);
  const [turn] = await on.baton.query<{ ms: string; took: string }>(
    "select agent_ms ms, extract(epoch from ended_at - started_at) * 1000 took from turn where session_ulid = $1 and n = 2",
    [session],
  );
  // What was kept is a part of it: begun anew, the agent would have worked for that much longer.
  expect(Number(before?.ms)).toBeGreaterThan(4_000);
  expect(Number(turn?.ms)).toBeLessThan(20_000 + 5_000);
}, 180_000);
