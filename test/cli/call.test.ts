import { readFileSync } from "node:fs";
import { join } from "node:path";
import { launchScripted } from "../faults/support/launch.ts";
import { checkout, json, onCli } from "./on-cli.ts";

const on = onCli();
const { baton, scratch } = on;

describe("call", () => {
  test("prints the whole answer; a refusal is an answer too and exits with 1", async () => {
    const listed = await baton(["call", "pm_session", '{"action":"list"}']);
    expect([listed.code, listed.stderr, json(listed.stdout)["ok"]]).toEqual([0, "", true]);
    const refused = await baton(["call", "pm_session", "-", "--json"], { input: '{"action":"get","sessionUlid":"NO-1/executor-1"}' });
    expect([refused.code, json(refused.stdout)]).toEqual([1, expect.objectContaining({ ok: false, error: expect.objectContaining({ code: "NOT_FOUND" }) })]);
    expect(refused.stdout.trim().split("\n")).toHaveLength(1);
    expect(refused.stderr).toMatch(/^NOT_FOUND: .+\n$/);
  });

  test("what is written wrongly is told with how it is written (64); no Baton is a sentence (2); a wrong token is no Baton", async () => {
    const wrong = [["call"], ["call", "pm_session", "{"], ["frob"], ["status", "--nonsense"], ["answer", "x"], ["token", "make"], ["connect", "emacs"]];
    expect(await Promise.all(wrong.map(async (args) => (await baton(args)).code))).toEqual(wrong.map(() => 64));
    const nobody = await baton(["status"], { env: { BATON_HOME: join(scratch, "none") } });
    expect([nobody.code, nobody.stdout, nobody.stderr]).toEqual([2, "", expect.stringMatching(/^No Baton runs on .*npm start.*\n$/)]);
    expect((await baton(["status"], { env: { BATON_URL: "http://127.0.0.1:1", BATON_TOKEN: "x" } })).code).toBe(2);
    expect((await baton(["status"], { env: { BATON_URL: on.url, BATON_TOKEN: `${on.token}x` } })).code).toBe(2);
  });
});

describe("refusals", () => {
  test("with --json, stdout says them as JSON: no Baton, what is written wrongly", async () => {
    const nobody = await baton(["status", "--json"], { env: { BATON_HOME: join(scratch, "none") } });
    expect([nobody.code, json(nobody.stdout)]).toEqual([2, expect.objectContaining({ ok: false, error: expect.objectContaining({ code: "NO_BATON" }) })]);
    const wrong = await baton(["token", "make", "--json"]);
    expect([wrong.code, json(wrong.stdout)]).toEqual([64, expect.objectContaining({ ok: false, error: expect.objectContaining({ code: "USAGE" }) })]);
  });

  test("a file that is not there, an address that is none, and BATON_URL for tokens are told in words (64)", async () => {
    const file = await baton(["call", "pm_session", "@missing.json"]);
    expect([file.code, file.stderr]).toEqual([64, expect.stringMatching(/^The arguments cannot be read from the file "missing.json" \(ENOENT\)/)]);
    const address = await baton(["status"], { env: { BATON_URL: "my baton", BATON_TOKEN: "x" } });
    expect([address.code, address.stderr]).toEqual([64, expect.stringMatching(/^BATON_URL is no address/)]);
    const elsewhere = await baton(["token", "list"], { env: { BATON_URL: on.url, BATON_TOKEN: on.token } });
    expect([elsewhere.code, elsewhere.stdout, elsewhere.stderr]).toEqual([64, "", expect.stringContaining("BATON_URL")]);
  });
});

test("pm_health names versions, queues and, in detail, every process with its session", async () => {
  const sessionUlid = await launchScripted(on.baton, on.stack, { key: "HEALTH-1", turns: [[{ say: "x" }]] });
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  const brief = json((await baton(["call", "pm_health"])).stdout) as { data: Record<string, unknown> };
  expect(brief.data).toMatchObject({
    status: "ok",
    version: "0.1.0",
    runtimeId: expect.stringMatching(/^[0-9A-Z]{26}$/),
    hosts: [{ hostId: "host1", alive: true }],
  });
  expect(brief.data["versions"]).toMatchObject({
    baton: json(readFileSync(join(checkout, "package.json"), "utf8"))["version"],
    postgres: expect.any(String),
    temporal: expect.any(String),
  });
  expect(brief.data["queues"]).toMatchObject({ openSessions: expect.any(Number), inputsWaiting: 0, approvalsOpen: 0, turnsRunning: 0 });
  expect(brief.data).not.toHaveProperty("processes");
  const { data } = json((await baton(["call", "pm_health", '{"detail":true}'])).stdout) as {
    data: { processes: { role: string; pid: number; startedAt: string; sessionUlid?: string }[] };
  };
  const of = (role: string) => data.processes.filter((process) => process.role === role);
  expect([of("gateway")[0]?.pid, of("engine")[0]?.pid, of("host")[0]?.pid]).toEqual([expect.any(Number), on.engine.pid, on.host.pid]);
  for (const role of ["runner", "agent"]) expect(of(role).map((process) => process.sessionUlid)).toContain(sessionUlid);
  for (const { startedAt } of data.processes) expect(Math.abs(Date.now() - Date.parse(startedAt))).toBeLessThan(3_600_000);
});

test("help explains a tool in short, an action in full, limits and codes; an unknown topic is told", async () => {
  const help = async (topic?: string) =>
    json((await baton(["call", "pm_session", JSON.stringify({ action: "help", ...(topic ? { topic } : {}) })])).stdout) as Record<
      string,
      Record<string, unknown>
    >;
  expect((await help())["data"]).toMatchObject({
    whenToUse: expect.any(String),
    actions: expect.arrayContaining([expect.objectContaining({ action: "list" })]),
    cautions: expect.any(Array),
    limits: { waitMs: 25_000 },
    codes: { QUEUE_FULL: expect.any(String) },
  });
  expect((await help(" Launch-Task "))["data"]).toMatchObject({
    actions: [
      {
        action: "launch_task",
        scope: "session:launch",
        parameters: expect.arrayContaining([expect.objectContaining({ name: "taskKey", required: true, type: "string" })]),
      },
    ],
  });
  expect(Object.keys((await help("codes"))["data"] ?? {})).toEqual(["codes"]);
  expect((await help("launch"))["error"]).toMatchObject({ code: "INVALID_ARGUMENT", field: "topic" });
});

test("token makes, lists and revokes credentials", async () => {
  expect(await baton(["token", "create", "ci", "--scopes", "everything"])).toMatchObject({ code: 1, stderr: expect.stringContaining("everything") });
  const made = await baton(["token", "create", "ci", "--scopes", "session:read", "--json"]);
  const { secret, token: about } = json(made.stdout) as { secret: string; token: { tokenId: string } };
  expect((await baton(["call", "pm_session", '{"action":"list"}'], { env: { BATON_URL: on.url, BATON_TOKEN: secret } })).code).toBe(0);
  const listed = (await baton(["token", "list"])).stdout;
  expect([listed.includes(about.tokenId), listed.includes(secret)]).toEqual([true, false]);
  expect((await baton(["token", "revoke", about.tokenId])).code).toBe(0);
  expect((await baton(["call", "pm_session", '{"action":"list"}'], { env: { BATON_URL: on.url, BATON_TOKEN: secret } })).code).toBe(2);
});
