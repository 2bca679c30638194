import { launchScripted } from "../support/launch.ts";
import { onStack } from "../support/on-stack.ts";

const on = onStack({ start: ["engine"] });

test("a turn whose next one is here before Temporal's word that it took the end counts as reported (row 10)", async () => {
  on.host = await on.stack.startHost({ stop: { name: "told", action: "slow", hit: 1 } });
  const session = await launchScripted(on.baton, on.stack, {
    key: "overtaken",
    turns: [[{ wait: 1_000 }, { say: "one" }], [{ say: "two" }], [{ say: "three" }]],
  });
  for (const prompt of ["two", "three"]) await on.baton.sdk.sessions.input({ principal: "local", actor: "@test" }, { sessionUlid: session, prompt });
  await on.baton.turnsEnded(session, 3, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed", "completed", "completed"]);
}, 90_000);
