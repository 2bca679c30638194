import { existsSync } from "node:fs";
import { join } from "node:path";
import { onStack } from "../support/on-stack.ts";
import { signalByHand, temporalCli } from "../support/temporal-cli.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({ start: ["engine"] });

test("a result that beat an abort counts for the chain, also when its host died before it could tell of it", async () => {
  const fired = join(on.stack.home, "fired-untold");
  on.host = await on.stack.startHost({ stop: { name: "completed", action: "kill", hit: 1 }, fired });
  const key = `${on.stack.env["BATON_INSTANCE"]}-untold`;
  const { data } = await on.baton.sdk.sessions.launch(caller, {
    clientRequestId: key,
    actor: "@test",
    taskKey: "UNTOLD",
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    config: { scenario: { turns: [[{ edit: { path: "work.txt", content: "work\n" } }, { say: "done" }]] } },
    task: { title: "untold", repositoryPath: on.stack.repository, projectKey: "UNTOLD" },
    chain: {},
  });
  await on.baton.eventually("its host died", async () => existsSync(fired), 60_000);
  // A door finds no open turn any more; one that looked a moment before, or an operator, sends this.
  await signalByHand(`${key}/executor`, "abort", "{}");
  const shown = () => temporalCli("workflow", "show", "--workflow-id", `${key}/executor`, "--output", "json");
  await on.baton.eventually("the attempt's time is up", async () => (await shown()).includes("EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT"), 60_000);
  on.host = await on.stack.startHost();
  const chain = async () => (await on.baton.sdk.sessions.get({ chainId: String(data["chainId"]) }))["chain"] as { state: string; gates: { state?: string }[] };
  await on.baton.eventually(
    "it ends or asks",
    async () => (await chain()).state === "ended" || (await chain()).gates.some((gate) => gate.state === "open"),
    60_000,
  );
  expect(await chain()).toMatchObject({ state: "ended", reason: "approved" });
  expect(await on.baton.outcomes(String(data["sessionUlid"]))).toEqual(["completed"]);
}, 180_000);
