import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { agentProcesses } from "../support/auditor.ts";
import { onStack } from "../support/on-stack.ts";
import { temporalCli } from "../support/temporal-cli.ts";

const caller = { principal: "local", actor: "@test" };
const approves = [[{ verdict: { decision: "approved", score: 95, summary: "good", findings: [] } }]];
const hangs = [[{ say: "at work" }, "hang"]];
const on = onStack({
  start: ["engine", "host"],
  numbers: { BATON_RECONCILE_MS: "1000", BATON_TOKEN_GRACE_MS: "2000" },
  before: (stack) => {
    mkdirSync(join(stack.home, "presets"));
    for (const [key, turns] of Object.entries({ "judge-approves": approves, "judge-hangs": hangs }))
      writeFileSync(join(stack.home, "presets", `${key}.json`), JSON.stringify({ key, providerType: "scripted", config: { scenario: { turns } } }));
  },
});

/** Who hangs when the fault comes, and whose workflow is then terminated. */
const handOffs = [
  { name: "the executor at work", hanging: "executor", victim: "/executor", reason: "aborted" },
  { name: "a reviewer at work", hanging: "reviewer", victim: "/reviewer/1", reason: "aborted" },
  { name: "the executor while its work is reviewed", hanging: "reviewer", victim: "/executor", reason: "aborted" },
  { name: "the auditor at work", hanging: "auditor", victim: "/auditor/1", reason: "aborted" },
  { name: "the chain itself during the review", hanging: "reviewer", victim: "", reason: "failed" },
] as const;
type HandOff = (typeof handOffs)[number];

async function launchChain(at: number, { hanging }: HandOff): Promise<{ key: string; chainId: string }> {
  const key = `${on.stack.env["BATON_INSTANCE"]}-chain-${at}`;
  const judge = (role: string) => ({ agentHandle: role, launcherConfigKey: hanging === role ? "judge-hangs" : "judge-approves" });
  const { data } = await on.baton.sdk.sessions.launch(caller, {
    clientRequestId: key,
    actor: "@test",
    taskKey: `CHAIN-${at}`,
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    config: { scenario: { turns: hanging === "executor" ? hangs : [[{ edit: { path: "work.txt", content: "work\n" } }, { say: "done" }]] } },
    task: { title: key, repositoryPath: on.stack.repository, projectKey: "CHAINS" },
    chain: { reviewers: [judge("reviewer")], auditor: judge("auditor"), maxRounds: 2 },
  });
  return { key, chainId: String(data["chainId"]) };
}

async function show(at: number, handOff: HandOff): Promise<void> {
  const { key, chainId } = await launchChain(at, handOff);
  await on.baton.eventually(
    `${handOff.hanging} of ${key} hangs`,
    async () =>
      (
        await on.baton.query(
          "select 1 from session s join input i using (session_ulid) join event e using (session_ulid) where s.chain_id = $1 and s.role = $2 and i.state = 'delivered' and e.type = 'turn.started'",
          [chainId, handOff.hanging],
        )
      ).length > 0,
    90_000,
  );
  await temporalCli("workflow", "terminate", "--workflow-id", `${key}${handOff.victim}`, "--reason", "test");
  await on.baton.eventually(
    `${key} ended`,
    async () => (await on.baton.query("select 1 from chain where chain_id = $1 and ended_at is not null", [chainId])).length === 1,
    90_000,
  );
  const [chain] = await on.baton.query<{ state: string; reason: string; why: string }>("select state, reason, why from chain where chain_id = $1", [chainId]);
  expect(chain).toEqual({ state: "ended", reason: expect.any(String), why: expect.stringMatching(/\w+/) });
  expect(chain?.reason).toBe(handOff.reason);
  const ends = await on.baton.query("select 1 from event e join session s using (session_ulid) where s.chain_id = $1 and e.type = 'chain.ended'", [chainId]);
  expect(ends).toHaveLength(1);

  const sessions = (await on.baton.query<{ session_ulid: string }>("select session_ulid from session where chain_id = $1", [chainId])).map(
    (row) => row.session_ulid,
  );
  const open = () => on.baton.query<{ name: string }>("select name from session where chain_id = $1 and closed_at is null", [chainId]);
  await on.baton.eventually(`no session of ${key} is open`, async () => (await open()).length === 0, 90_000);
  expect(await on.baton.query("select turn_id from turn t join session s using (session_ulid) where s.chain_id = $1 and t.state <> 'done'", [chainId])).toEqual(
    [],
  );
  await on.baton.eventually(`no agent of ${key} is alive`, async () => agentProcesses(sessions).length === 0, 60_000);
  for (const end of ["", "/executor", "/reviewer/1", "/auditor/1"]) {
    const described = await temporalCli("workflow", "describe", "--workflow-id", `${key}${end}`, "--output", "json").catch(() => "never started");
    expect(described).not.toContain("WORKFLOW_EXECUTION_STATUS_RUNNING");
  }
}

// All at once: most of the time is waiting.
const shown = new Map<string, Promise<void>>();
beforeAll(() => {
  handOffs.forEach((handOff, at) => {
    const showing = show(at, handOff);
    showing.catch(() => undefined);
    shown.set(handOff.name, showing);
  });
});
test.each(handOffs)(
  "the workflow of $name is terminated: the chain ends with a reason, no session stays open, no agent alive (row 27)",
  async ({ name }) => {
    await shown.get(name);
  },
  200_000,
);
