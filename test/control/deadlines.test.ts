import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launchScripted } from "../faults/support/launch.ts";
import { kill, onStack } from "../faults/support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({
  start: ["engine", "host"],
  before: (stack) => {
    mkdirSync(join(stack.home, "presets"));
    for (const [key, limits] of Object.entries({
      soon: { deadlineSeconds: 1 },
      later: { deadlineSeconds: 8 },
      waits: { deadlineSeconds: 1, onDeadline: "wait" },
    }))
      writeFileSync(join(stack.home, "presets", `${key}.json`), JSON.stringify({ key, providerType: "scripted", permissions: { mode: "ask", ...limits } }));
  },
});
const sessions = () => on.baton.sdk.sessions;
const asks = (preset: string): Promise<string> =>
  launchScripted(on.baton, on.stack, {
    key: `${on.stack.env["BATON_INSTANCE"]}-${preset}`,
    turns: [[{ ask: { title: "rm -rf x" } }, { say: "went on" }]],
    preset,
  });
type Asked = {
  approvalId: string;
  state: string;
  askedAt: string;
  deadline?: string;
  onDeadline: string;
  answer?: { decision: string; by: string; actor: string; reason: string };
};
const one = async (sessionUlid: string, state: string): Promise<Asked | undefined> =>
  ((await sessions().approvals({ sessionUlid, state })).data["approvals"] as Asked[])[0];

test("a permission that nobody answers is denied when its deadline is over, and a later answer changes nothing", async () => {
  const session = await asks("soon");
  await on.baton.turnsEnded(session, 1, 30_000);
  const answered = await one(session, "delivered");
  expect(answered).toMatchObject({
    onDeadline: "deny",
    answer: { decision: "deny", by: "baton", actor: "deadline", reason: `nobody answered until ${answered?.deadline}` },
  });
  expect(Date.parse(answered!.deadline!) - Date.parse(answered!.askedAt)).toBeLessThanOrEqual(1_000);
  expect(await sessions().respond(caller, { approvalId: answered!.approvalId, decision: "allow" })).toMatchObject({ applied: false, by: "baton" });
}, 60_000);

test("one that is to wait waits, and says since when it is late", async () => {
  const session = await asks("waits");
  await on.baton.eventually("it is late", async () => Date.parse((await one(session, "open"))?.deadline ?? "2999") < Date.now() - 2_500, 30_000);
  expect(await one(session, "open")).toMatchObject({ onDeadline: "wait", state: "open" });
  await sessions().respond(caller, { approvalId: (await one(session, "open"))!.approvalId, decision: "allow" });
  await on.baton.turnsEnded(session, 1, 30_000);
}, 60_000);

test("a deadline is kept also when the engine was away as it passed", async () => {
  const session = await asks("later");
  await on.baton.eventually("it asks", async () => (await one(session, "open")) !== undefined, 30_000);
  await kill(on.engine);
  await on.baton.eventually("it is late", async () => Date.parse((await one(session, "open"))?.deadline ?? "2999") < Date.now() - 1_500, 30_000);
  on.engine = await on.stack.startEngine();
  await on.baton.turnsEnded(session, 1, 60_000);
  expect((await one(session, "delivered"))?.answer).toMatchObject({ decision: "deny", by: "baton" });
}, 120_000);
