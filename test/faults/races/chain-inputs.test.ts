import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launchChain } from "../support/launch.ts";
import { onStack } from "../support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const refuses = [[{ wait: 1_500 }, { verdict: { decision: "changes_requested", score: 10, summary: "no", findings: [] } }]];
const works = [{ edit: { path: "work.txt", content: "work\n" } }, { say: "done" }];
const on = onStack({
  start: ["engine", "host"],
  before: (stack) => {
    mkdirSync(join(stack.home, "presets"));
    writeFileSync(
      join(stack.home, "presets", "judge-refuses.json"),
      JSON.stringify({ key: "judge-refuses", providerType: "scripted", config: { scenario: { turns: refuses } } }),
    );
  },
});

const launch = (taskKey: string, turns: unknown[], reviewers: { launcherConfigKey: string }[]) =>
  launchChain(on.baton, on.stack, { taskKey, turns, chain: { reviewers, maxRounds: 3 } });
const say = (sessionUlid: string, prompt: string) => on.baton.sdk.sessions.input(caller, { sessionUlid, prompt });
const found = async (sql: string, value: string): Promise<boolean> => (await on.baton.query(sql, [value])).length > 0;
const ended = (chainId: string) =>
  on.baton.eventually("the chain ends", () => found("select 1 from chain where chain_id = $1 and ended_at is not null", chainId), 60_000);
const turns = (session: string) =>
  on.baton.query<{ generation: number; prompt: string }>(
    "select t.generation, i.prompt from turn t join input i using (input_id) where t.session_ulid = $1 order by t.n",
    [session],
  );

test("a message that a chain's executor took while it was closing runs, without the chain", async () => {
  const { sessionUlid: session, chainId } = await launch("LATE", [[{ say: "x" }, "ignoreSignals", "hang"], [{ say: "two" }]], []);
  await on.baton.eventually("it is at work", () => found("select 1 from input where session_ulid = $1 and state = 'delivered'", session), 60_000);
  await on.baton.sdk.sessions.close(caller, { sessionUlid: session });
  const { data } = await say(session, "do this instead");
  expect(data["state"]).toBe("recorded");
  await ended(chainId);
  await on.baton.turnsEnded(session, 2, 60_000);
  expect(await turns(session)).toEqual([
    { generation: 1, prompt: "go" },
    { generation: 2, prompt: "do this instead" },
  ]);
  expect(await on.baton.outcomes(session)).toEqual(["interrupted", "completed"]);
}, 120_000);

test("what a chain had asked for that is over is not the first thing that its woken executor does", async () => {
  const { sessionUlid: session, chainId } = await launch(
    "STALE",
    [works, [{ say: "x" }, "hang"], [{ say: "three" }]],
    [{ launcherConfigKey: "judge-refuses" }],
  );
  await on.baton.turnsEnded(session, 1, 60_000);
  await say(session, "also this");
  await on.baton.eventually("the findings wait", () => found("select 1 from input where session_ulid = $1 and source = 'chain'", session), 60_000);
  await on.baton.sdk.sessions.close(caller, { sessionUlid: session });
  await ended(chainId);
  expect(await on.baton.query("select state, reason from input where session_ulid = $1 and source = 'chain'", [session])).toEqual([
    { state: "failed", reason: "chain_ended" },
  ]);
  await say(session, "only this");
  await on.baton.turnsEnded(session, 3, 60_000);
  expect((await turns(session)).map((turn) => turn.prompt)).toEqual(["go", "also this", "only this"]);
}, 150_000);
