import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { serve } from "@hono/node-server";
import { readStatus, type Status } from "../../cli/read-status.ts";
import { connectPm, type PmClient } from "../../client/pm-client.ts";
import { BatonError } from "../../contracts/failures.ts";
import { httpApp } from "../../mcp-gateway/http.ts";
import { waitLimit } from "../../mcp-gateway/long-polls.ts";
import { launchScripted } from "../faults/support/launch.ts";
import { nodeProcess } from "../support/node-process.ts";
import { until } from "../support/until.ts";
import { json, main, onCli } from "./on-cli.ts";

const on = onCli();
const { baton } = on;
beforeAll(() => {
  mkdirSync(join(on.stack.home, "presets"), { recursive: true });
  const gone = { key: "gone", providerType: "acp", config: { command: ["sh", "-c", "exit 3"] } };
  writeFileSync(join(on.stack.home, "presets/gone.json"), JSON.stringify(gone));
});

test("status says what waits for whom, with the call to paste; answer gives it; a later answer hears of the first", async () => {
  const rules = [{ tool: "execute", commandPrefix: "make check", decision: "allow" }];
  writeFileSync(join(on.stack.home, "presets/asks.json"), JSON.stringify({ key: "asks", providerType: "scripted", permissions: { mode: "ask", rules } }));
  const turns = [[{ ask: { title: "make check" } }, { ask: { title: "Run \u001b[31mmake install" } }, { say: "done" }]];
  const launched = await on.baton.sdk.sessions.launch(
    { principal: "local" },
    {
      clientRequestId: "cli-asks",
      actor: "@test",
      taskKey: "CLI-1",
      launcherConfigKey: "asks",
      prompt: "go",
      config: { scenario: { turns } },
      task: { title: "x", repositoryPath: on.stack.repository },
    },
  );
  const sessionUlid = String(launched.data["sessionUlid"]);
  const waiting = await until("the approval", async () => {
    const { code, stdout } = await baton(["status", "--json"]);
    expect(code).toBe(0);
    const status = json(stdout) as { waiting: { approvalId: string; name: string; kind: string; next: unknown[] }[] };
    return status.waiting[0];
  });
  // The first question was answered by the preset's rule and never asked; the second is here.
  expect(waiting).toMatchObject({ name: "CLI-1/executor-1", kind: "approval" });
  expect((await on.baton.sdk.sessions.approvals({ sessionUlid })).data).toMatchObject({
    approvals: [{ approvalId: waiting.approvalId, detail: { why: "mode ask" } }],
  });
  const text = await baton(["status"], { env: { BATON_COMMAND: "npx baton" } });
  expect(text.stdout).toContain(`npx baton answer ${waiting.approvalId} allow`);
  expect(text.stdout).not.toContain("\u001b");

  const unknown = await baton(["answer", waiting.approvalId, "perhaps"]);
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("One of: allow, allow_always, deny, deny_stop.")]);
  const added = await baton(["answer", waiting.approvalId, "allow", "--add", "rounds=2"]);
  expect([added.code, added.stderr]).toEqual([64, expect.stringContaining("nothing can be added")]);

  const none = await baton(["answer", "NO-1/executor-1", "allow"]);
  expect([none.code, none.stderr]).toEqual([1, expect.stringMatching(/NOT_FOUND.*neither an approval nor a session.*baton status/)]);
  const given = await baton(["answer", "CLI-1/executor-1", "allow"]);
  // Which of its questions it was: its person may have read another one.
  expect([given.code, given.stdout]).toEqual([0, expect.stringMatching(/^Answered: allow to ".*make install.*"\.\n$/)]);
  expect(given.stdout).not.toContain("\u001b");
  const late = await baton(["answer", waiting.approvalId, "deny"]);
  expect([late.code, late.stdout]).toEqual([0, expect.stringContaining("Answered already: allow")]);
  await on.baton.turnsEnded(sessionUlid, 1, 30_000);
  expect((await baton(["answer", "CLI-1/executor-1", "allow"])).stderr).toContain("Nothing is open");
  expect(json((await baton(["answer", "CLI-1/executor-1", "allow", "--json"])).stdout)).toMatchObject({ ok: false, error: { code: "NOT_FOUND" } });
  expect((await baton(["status"])).stdout).toContain("CLI-1/executor-1  idle");
});

test("a used-up limit: status shows how much to add, and that line, pasted, lets the work go on", async () => {
  const { data } = await on.baton.sdk.sessions.launch(
    { principal: "local" },
    {
      clientRequestId: "cli-limit",
      actor: "@test",
      taskKey: "CLI-2",
      launcherConfigKey: "demo-executor",
      prompt: "go",
      limits: { turns: 1 },
      config: { scenario: { turns: [[{ say: "one" }], [{ say: "two" }]] } },
      task: { title: "x", repositoryPath: on.stack.repository },
    },
  );
  const sessionUlid = String(data["sessionUlid"]);
  await on.baton.sdk.sessions.input({ principal: "local" }, { sessionUlid, prompt: "and on" });
  const line = await until("the way out is shown", async () => {
    const { stdout } = await baton(["status"], { env: { BATON_COMMAND: "npx baton" } });
    return stdout.match(/npx baton (answer \w+ allow --add turns=1)/)?.[1];
  });
  expect((await baton(["answer", "CLI-2/executor-1", "allow", "--add", "turns"])).code).toBe(64);
  expect(await baton(["answer", "CLI-2/executor-1", "allow"])).toMatchObject({ code: 1, stderr: expect.stringContaining("add.turns") });
  expect(await baton(line.split(" "))).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Answered: allow to ".+"\.\n$/) });
  await on.baton.turnsEnded(sessionUlid, 2, 30_000);
}, 60_000);

test("status shows everybody who waits, also beyond the 20 whose calls it looks up, and forgets who was purged meanwhile", async () => {
  const count = 22;
  const launches = Array.from({ length: count }, (_, n) =>
    on.baton.sdk.sessions.launch(
      { principal: "local" },
      {
        clientRequestId: `crowd-${n}`,
        actor: "@test",
        taskKey: `CROWD-${n}`,
        launcherConfigKey: "gone",
        prompt: "go",
        task: { title: "x", repositoryPath: on.stack.repository },
      },
    ),
  );
  const ulids = (await Promise.all(launches)).map(({ data }) => String(data["sessionUlid"]));
  const crowd = await until(
    "all of them wait",
    async () => {
      const { waiting } = json((await baton(["status", "--json"])).stdout) as unknown as Status;
      const mine = waiting.filter((one) => ulids.includes(one.sessionUlid ?? ""));
      return new Set(mine.map((one) => one.sessionUlid)).size === count && mine;
    },
    90_000,
  );
  expect(crowd.some((one) => one.next.length === 0)).toBe(true);
  const { waiting, cut } = json((await baton(["status", "--json"])).stdout) as unknown as Status;
  expect(cut).toEqual([]);
  expect((await baton(["status"])).stdout).toContain(`Waits for somebody: ${waiting.length}`);

  const pm = await connectPm(on.url, on.token);
  const first = waiting.find((one) => one.next.length > 0)?.sessionUlid;
  // As if it were purged between the list and the look.
  const send: PmClient["send"] = (tool, args) => pm.send(tool, args["sessionUlid"] === first ? { ...args, sessionUlid: "01ARZ3NDEKTSV4RRFFQ69G5FAV" } : args);
  const after = await readStatus({ ...pm, send }, on.url);
  expect(after.waiting.map((one) => one.sessionUlid)).not.toContain(first);
  expect(after.waiting.length).toBeGreaterThanOrEqual(count - 1);
  await pm.close();
}, 180_000);

test("status --watch says the next state when something changes", async () => {
  const watch = nodeProcess(main, { args: ["status", "--watch", "--json"], env: { BATON_HOME: on.stack.home } });
  await watch.line(/^\{.*\}$/m);
  const sessionUlid = await launchScripted(on.baton, on.stack, { key: "WATCHED-1", turns: [[{ say: "x" }]] });
  await watch.line(new RegExp(`"sessionUlid":"${sessionUlid}"`));
  watch.signal("SIGTERM");
  await watch.ended;
  for (const line of watch.output().trim().split("\n")) expect(json(line)).toHaveProperty("waiting");
});

test("status --watch goes on through a Postgres that is away", async () => {
  const down = [false, true, false];
  const seen: string[] = [];
  // Each look is told what the next of `down` says, the last one for ever.
  const away = () => Promise.reject(new BatonError("UNAVAILABLE", "Postgres does not answer."));
  const parts = {
    baton: () => (down[0] ? away() : Promise.resolve(on.baton.sdk)),
    report: () => {},
    waits: waitLimit(1, 1),
    progressMs: 10_000,
  };
  const { app, close } = httpApp(parts, () => Promise.resolve({ principal: "local" }), "secret");
  const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 });
  try {
    await until("it listens", () => server.address() !== null);
    const { port } = server.address() as { port: number };
    const watch = nodeProcess(main, { args: ["status", "--watch", "--json"], env: { BATON_URL: `http://127.0.0.1:${port}`, BATON_TOKEN: "t" } });
    const lines = () => watch.output().trim().split("\n").filter(Boolean);
    for (const expected of ["ok", "down", "ok"]) {
      await until(`${expected} is said`, () => lines().length > seen.length, 15_000);
      seen.push(String(json(lines().at(-1) ?? "{}")["status"]));
      expect(seen.at(-1)).toBe(expected);
      down.shift();
    }
    watch.signal("SIGTERM");
    await watch.ended;
  } finally {
    await close();
    server.close();
  }
});
