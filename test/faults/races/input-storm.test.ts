import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { BatonError } from "../../../contracts/failures.ts";
import { launchScripted } from "../support/launch.ts";
import { onStack } from "../support/on-stack.ts";

const callers = 20;
const each = process.env["BATON_TEST_FULL"] === "1" ? 500 : 40;
const bound = 50;
const on = onStack({ start: ["engine", "host"] });

interface Sent {
  caller: number;
  n: number;
  inputId: string;
}

test(`${callers} callers storm one busy session with ${each} inputs each: the queue takes ${bound}, the rest is refused, each caller's order is kept and nothing else waits (row 18)`, async () => {
  const key = (name: string) => `${on.stack.env["BATON_INSTANCE"]}-${name}`;
  const gate = join(on.stack.home, "go-on");
  const [session, beside] = await Promise.all([
    launchScripted(on.baton, on.stack, {
      key: key("storm"),
      turns: [[{ run: `until [ -e ${gate} ]; do sleep 0.1; done` }, { say: "first" }], [{ say: "ok" }]],
    }),
    launchScripted(on.baton, on.stack, { key: key("beside"), turns: [[{ say: "one" }]] }),
  ]);
  await on.baton.turnsEnded(beside, 1, 60_000);
  await on.baton.eventually(
    "the agent is busy",
    async () => (await on.baton.query("select 1 from input where session_ulid = $1 and state = 'delivered'", [session])).length === 1,
    60_000,
  );

  const taken: Sent[] = [];
  const refused: unknown[] = [];
  const storm = Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      for (let n = 0; n < each; n++) {
        try {
          // As one caller does: the next only after the answer to the one before.
          const { data } = await on.baton.sdk.sessions.input(
            { principal: "local", actor: `@storm-${caller}` },
            { sessionUlid: session, prompt: `${caller}/${n}`, delivery: "queue" },
          );
          taken.push({ caller, n, inputId: String(data["inputId"]) });
        } catch (error) {
          refused.push(error instanceof BatonError ? error.code : error);
        }
      }
    }),
  );
  // Another session has its turn in the middle of it.
  await on.baton.sdk.sessions.input({ principal: "local", actor: "@test" }, { sessionUlid: beside, prompt: "and you?" });
  await on.baton.turnsEnded(beside, 2, 60_000);
  await storm;

  expect(taken).toHaveLength(bound);
  expect(refused).toHaveLength(callers * each - bound);
  expect(new Set(refused)).toEqual(new Set(["QUEUE_FULL"]));
  const rows = await on.baton.query<{ input_id: string }>("select input_id from input where session_ulid = $1 and source like 'storm-%'", [session]);
  expect(new Set(rows.map((row) => row.input_id))).toEqual(new Set(taken.map((one) => one.inputId)));

  writeFileSync(gate, "");
  await on.baton.turnsEnded(session, 1 + bound, 120_000);
  const ran = await on.baton.query<{ prompt: string; state: string }>(
    "select i.prompt, i.state from turn t join input i on i.input_id = t.input_id where t.session_ulid = $1 and i.source like 'storm-%' order by t.n",
    [session],
  );
  expect(ran.map((row) => row.state)).toEqual(Array.from({ length: bound }, () => "consumed"));
  for (let caller = 0; caller < callers; caller++) {
    const inOrder = taken.filter((one) => one.caller === caller).map((one) => `${caller}/${one.n}`);
    expect(ran.map((row) => row.prompt).filter((prompt) => prompt.startsWith(`${caller}/`))).toEqual(inOrder);
  }
  expect(await on.baton.outcomes(session)).toEqual(Array.from({ length: 1 + bound }, () => "completed"));
  // The place is free again.
  await on.baton.sdk.sessions.input({ principal: "local", actor: "@test" }, { sessionUlid: session, prompt: "one more" });
  await on.baton.turnsEnded(session, 2 + bound, 60_000);
}, 300_000);
