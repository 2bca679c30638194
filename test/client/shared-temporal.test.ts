import { Client, Connection } from "@temporalio/client";
import { ulid } from "ulid";
import { onBaton } from "./on-baton.ts";

const caller = { principal: "local" };
const first = onBaton("sharedone");
const second = onBaton("sharedtwo");
const task = (on: typeof first, clientRequestId: string, chain?: object) => ({
  clientRequestId,
  actor: "@me",
  taskKey: chain ? "SHARED-2" : "SHARED-1",
  launcherConfigKey: "demo-executor",
  agentHandle: "executor",
  prompt: "go",
  task: { title: "x", repositoryPath: on.repositoryPath },
  ...(chain ? { chain } : {}),
});

async function signalsOf(workflowId: string): Promise<unknown[]> {
  const connection = await Connection.connect({ address: process.env["TEST_TEMPORAL_ADDRESS"] ?? "" });
  try {
    const { events } = await new Client({ connection }).workflow.getHandle(workflowId).fetchHistory();
    return (events ?? []).map((one) => one.workflowExecutionSignaledEventAttributes?.signalName).filter(Boolean);
  } finally {
    await connection.close();
  }
}

test.each([
  ["session", undefined],
  ["chain", { reviewers: [{ agentHandle: "reviewer", launcherConfigKey: "demo-reviewer" }] }],
])("two Batons on one Temporal: a %s whose workflow id another has is over at once, and another key launches its task", async (_, chain) => {
  const key = ulid();
  const there = await first.baton.sessions.launch(caller, task(first, key, chain));
  await expect(second.baton.sessions.launch(caller, task(second, key, chain))).rejects.toMatchObject({
    code: "CONFLICT_STATE",
    detail: { field: "clientRequestId" },
  });
  const listed = await second.baton.sessions.list({ status: "FAILED" });
  const [refused] = listed.data["sessions"] as { sessionUlid: string }[];
  expect(await second.baton.sessions.get({ sessionUlid: String(refused?.sessionUlid) })).toMatchObject({
    state: "failed",
    statusReason: "workflow_id_taken",
    queue: [],
  });
  expect((await second.baton.sessions.launch(caller, task(second, ulid(), chain))).data).toMatchObject({ status: "RUNNING" });
  await second.baton.sessions.close(caller, { sessionUlid: String(refused?.sessionUlid) });
  expect(await signalsOf(String(there.data["workflowId"]))).not.toContain("close");
});
