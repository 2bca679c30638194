import { openBaton } from "../../client/open-baton.ts";
import { launchScripted } from "../faults/support/launch.ts";
import { kill, onStack } from "../faults/support/on-stack.ts";
import { batonOptions } from "./support.ts";

const on = onStack({ start: ["host"] });
const health = () => on.baton.sdk.health();
const becomes = (status: string) => on.baton.eventually(`health says ${status}`, async () => (await health()).status === status, 40_000);

test("without an engine worker it is degraded, and says why: before the first one, and once work waits for one that died", async () => {
  expect(await health()).toMatchObject({
    status: "degraded",
    temporal: { status: "ok" },
    engine: { status: "down", say: expect.stringContaining("No engine worker") },
  });
  on.engine = await on.stack.startEngine();
  await becomes("ok");
  await kill(on.engine);
  await launchScripted(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-waits`, turns: [[{ say: "done" }]] });
  await becomes("degraded");
  expect(await health()).toMatchObject({ hosts: [{ alive: true }], engine: { status: "down", say: expect.stringContaining("the work that waits") } });
  on.engine = await on.stack.startEngine();
  await becomes("ok");
}, 150_000);

test("with Temporal away it answers in time, and does not say that the engine is up", async () => {
  const { home, databaseUrl } = on.stack;
  const baton = await openBaton(batonOptions({ home, databaseUrl, instance: "away", temporalAddress: "127.0.0.1:1" }));
  const from = performance.now();
  expect(await baton.health()).toMatchObject({ status: "degraded", temporal: { status: "down" }, engine: { status: "unknown" } });
  expect(performance.now() - from).toBeLessThan(9_000);
  await baton.close();
}, 30_000);
