import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launchChain } from "../support/launch.ts";
import { onStack } from "../support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({
  start: ["engine", "host"],
  before: (stack) => {
    mkdirSync(join(stack.home, "presets"));
    const turns = [[{ wait: 2_000 }, { verdict: { decision: "approved", score: 95, summary: "good", findings: [] } }]];
    writeFileSync(
      join(stack.home, "presets", "slow-judge.json"),
      JSON.stringify({ key: "slow-judge", providerType: "scripted", config: { scenario: { turns } } }),
    );
  },
});

/** A chain whose executor is given something else to do during the review, and is at it when all have approved. Where it stands when it has ended. */
async function spokenTo(taskKey: string, doing: string, maxRounds: number) {
  const go = join(on.stack.home, `${taskKey}.go`);
  const turns = [
    [{ edit: { path: "work.txt", content: "judged\n" } }, { say: "done" }],
    [{ run: `until [ -e ${go} ]; do sleep 0.05; done; ${doing}` }, { say: "that, too" }],
  ];
  const { sessionUlid, chainId } = await launchChain(on.baton, on.stack, {
    taskKey,
    turns,
    chain: { reviewers: [{ launcherConfigKey: "slow-judge" }], maxRounds },
  });
  await on.baton.turnsEnded(sessionUlid, 1, 60_000);
  await on.baton.sdk.sessions.input(caller, { sessionUlid, prompt: "also do this" });
  await on.baton.eventually("all approved", async () => (await on.baton.query("select 1 from verdict where chain_id = $1", [chainId])).length > 0, 60_000);
  // Time for the last look.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  writeFileSync(go, "");
  await on.baton.eventually(
    "it ends",
    async () => (await on.baton.query("select 1 from chain where chain_id = $1 and ended_at is not null", [chainId])).length > 0,
    60_000,
  );
  const [stands] = await on.baton.query(
    `select c.reason, c.round, c.candidate->>'tree' = s.candidate->>'tree' as same, k.status,
    (select array_agg(t.result->>'outcome' order by t.n) from turn t where t.session_ulid = s.session_ulid) outcomes
    from chain c join session s on s.session_ulid = c.executor_ulid join task k on k.task_key = c.task_key where c.chain_id = $1`,
    [chainId],
  );
  return stands;
}

test("what the executor makes while its work is judged is judged, too; a turn that changes nothing is let end", async () => {
  const [changed, same] = await Promise.all([spokenTo("CHANGED", "echo unjudged > work.txt", 2), spokenTo("SAME", "cat work.txt", 1)]);
  const verified = { reason: "approved", same: true, status: "verified", outcomes: ["completed", "completed"] };
  expect(changed).toEqual({ ...verified, round: 2 });
  expect(same).toEqual({ ...verified, round: 1 });
}, 150_000);
