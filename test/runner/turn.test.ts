import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { LaunchSpec } from "../../contracts/provider.ts";
import { until } from "../support/until.ts";
import { alive, bench, control } from "./harness.ts";

test("a prompt goes to a real agent and its work comes back through the spool", async () => {
  const b = bench({
    turns: [
      [
        { think: "Hm." },
        { say: "Working." },
        { edit: { path: "a.txt", content: "one\n" } },
        { run: "cat a.txt; exit 3" },
        { plan: [{ text: "p", status: "pending" }] },
        { verdict: { decision: "approved", score: 9, summary: "ok", findings: [] } },
      ],
    ],
  });
  const spec = b.spec({}, { env: { ...b.spec().launch.env, SECRET: "only-for-the-agent" } });
  const connection = await b.spawn(spec);
  expect(() => statSync(join(spec.dir, `spec-${spec.launch.runnerId}.json`))).toThrow("ENOENT");
  expect(statSync(spec.socketPath).mode & 0o777).toBe(0o600);
  expect(readFileSync(`/proc/${(await connection.status()).pid}/environ`, "utf8")).not.toContain("SECRET");

  expect(await connection.request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "go" })).toMatchObject({
    ok: true,
    status: { turnId: "T1", promptedTurns: ["T1"] },
  });
  const { end, providerSessionId } = await b.ended(spec, "T1");
  expect(end).toMatchObject({ outcome: "completed", stopReason: "end_turn", usage: { costMicros: 1_000 } });
  expect(end.finalMessage).toContain('"decision": "approved"');
  expect(providerSessionId).toBe((await connection.status()).providerSessionId);
  expect(readFileSync(join(b.cwd, "a.txt"), "utf8")).toBe("one\n");

  const records = await b.records(spec);
  const types = records.map((one) => (one.kind === "event" ? one.event.type : one.kind === "mark" ? one.mark : "delta")).filter((type) => type !== "delta");
  expect(types).toEqual([
    "session.agent_ready",
    "prompt.written",
    "thought.completed",
    "message.completed",
    "tool.started",
    "file.changed",
    "tool.completed",
    "command.started",
    "command.completed",
    "plan.updated",
    "message.completed",
    "usage.reported",
    "turn.ended",
  ]);
  expect((await b.events(spec, "command.completed"))[0]?.data).toEqual({ status: "failed", exitCode: 3, output: "one\n" });
  expect((await b.events(spec, "file.changed"))[0]?.data).toMatchObject({ change: "added", diff: "+one" });
  const { rawRef } = await b.event(spec, "plan.updated");
  const raw = readFileSync(rawRef?.file ?? "")
    .subarray(rawRef?.offset, (rawRef?.offset ?? 0) + (rawRef?.bytes ?? 0))
    .toString();
  expect(JSON.parse(raw)).toMatchObject({ params: { update: { sessionUpdate: "plan" } } });
});

test("the same turn is prompted once, another one at the same time is refused", async () => {
  const b = bench({ turns: [[{ wait: 300 }, { say: "done" }]] });
  const spec = b.spec();
  const connection = await b.spawn(spec);
  const prompt = { cmd: "prompt", turnId: "T1", inputId: "I1", text: "go" } as const;
  const [first, second] = await Promise.all([connection.request(prompt), connection.request(prompt)]);
  expect([first.ok, second.ok]).toEqual([true, true]);
  expect(await connection.request({ ...prompt, turnId: "T2" })).toMatchObject({ ok: false, error: "busy" });
  await b.ended(spec, "T1");
  await connection.request(prompt);
  expect((await b.records(spec)).filter((one) => one.kind === "mark" && one.mark === "prompt.written")).toHaveLength(1);
  expect(b.agentLog().match(/prompt turn/g)).toHaveLength(1);
});

test("an approval is asked, answered once, and a denial ends the call as denied", async () => {
  const b = bench({ turns: [[{ ask: { title: "rm x" } }, { say: "after" }], [{ ask: { title: "rm y", onDeny: [{ say: "then not" }] } }]] });
  const spec = b.spec();
  const connection = await b.spawn(spec);
  await connection.request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "go" });
  const asked = (await b.event(spec, "approval.requested")).data;
  expect(asked).toMatchObject({ kind: "permission", title: "rm x", options: [{ id: "allow" }, { id: "allow_always" }, { id: "deny" }, { id: "deny_stop" }] });
  expect(asked.approvalId).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
  expect(await connection.request({ cmd: "respond", approvalId: asked.approvalId, decision: "allow" })).toMatchObject({ ok: true, applied: true });
  expect(await connection.request({ cmd: "respond", approvalId: asked.approvalId, decision: "allow" })).toMatchObject({ ok: true, applied: true });
  expect(await connection.request({ cmd: "respond", approvalId: asked.approvalId, decision: "deny" })).toMatchObject({ ok: true, applied: false });
  expect((await b.ended(spec, "T1")).end.finalMessage).toBe("after");
  await connection.request({ cmd: "prompt", turnId: "T2", inputId: "I2", text: "go" });
  const again = (await b.event(spec, "approval.requested", (data) => data.title === "rm y")).data;
  expect(again.requestKey).not.toBe(asked.requestKey);
  await connection.request({ cmd: "respond", approvalId: again.approvalId, decision: "deny" });
  expect((await b.ended(spec, "T2")).end.finalMessage).toBe("then not");
  expect((await b.events(spec, "command.completed")).map((one) => one.data.status)).toEqual(["completed", "denied"]);
});

test("an interrupt cancels the command that runs and answers what was asked", async () => {
  const b = bench({ turns: [[{ run: "echo on; sleep 60" }], [{ ask: { title: "x" } }], [{ say: "usable" }]] });
  const spec = b.spec({ stopGraceMs: 5_000 });
  const connection = await b.spawn(spec);
  await connection.request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "a" });
  await b.event(spec, "command.started");
  await connection.request({ cmd: "interrupt", turnId: "T1" });
  expect((await b.ended(spec, "T1")).end.outcome).toBe("interrupted");
  expect((await b.events(spec, "command.completed"))[0]).toMatchObject({ synthetic: true, data: { status: "interrupted" } });
  await connection.request({ cmd: "prompt", turnId: "T2", inputId: "I2", text: "b" });
  await b.event(spec, "approval.requested");
  await connection.request({ cmd: "interrupt", turnId: "T2" });
  expect((await b.ended(spec, "T2")).end.outcome).toBe("interrupted");
  await connection.request({ cmd: "prompt", turnId: "T3", inputId: "I3", text: "c" });
  expect((await b.ended(spec, "T3")).end).toMatchObject({ outcome: "completed", finalMessage: "usable" });
});

test("an agent that dies fails the turn and a fresh runner resumes the conversation", async () => {
  const b = bench({ turns: [[{ say: "one" }, { exit: 9 }, { say: "two" }]] });
  const spec = b.spec();
  const connection = await b.spawn(spec);
  const { pid } = await connection.status();
  const notices: unknown[] = [];
  connection.onNotice((notice) => notices.push(notice));
  await connection.request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "a" });
  const { end, providerSessionId } = await b.ended(spec, "T1");
  expect(end).toMatchObject({ outcome: "failed", failure: { class: "agent_exited" } });
  expect((await b.event(spec, "process.exited")).data).toMatchObject({ code: 9, expected: false });
  await until("the runner's end", () => !alive(pid));
  expect(notices).toContainEqual({ notice: "closing", reason: "agent_exited" });
  await expect(
    control.attach({ socketPath: spec.socketPath, sessionUlid: b.sessionUlid, runnerId: spec.launch.runnerId, epoch: 1, owner: "one" }),
  ).rejects.toMatchObject({ code: "gone" });

  const next = b.spec({ epoch: 2 }, { resume: providerSessionId ?? "" });
  await (await b.spawn(next)).request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "a" });
  expect((await b.ended(next, "T1")).end).toMatchObject({ outcome: "completed", finalMessage: "two" });
  expect((await b.event(next, "session.agent_ready")).data).toMatchObject({ resumed: true, providerSessionId });
});

test("a failure to open ends the turn that waits for it", async () => {
  const b = bench({ turns: [[]] });
  const cases: [Partial<LaunchSpec>, string][] = [
    [{ command: ["/no/such/agent"] }, "not_found"],
    [{ env: { BIG: "y".repeat(200_000) } }, "invalid_request"],
    [{ resume: "no-such-conversation" }, "session_not_found"],
  ];
  for (const [launch, expected] of cases) {
    const spec = b.spec({}, launch);
    await (await b.spawn(spec)).request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "a" });
    expect((await b.ended(spec, "T1")).end).toMatchObject({ outcome: "failed", failure: { class: expected } });
    expect((await b.records(spec)).some((one) => one.kind === "mark" && one.mark === "prompt.written")).toBe(false);
  }
});

test("an agent whose silence is expected is not taken for stalled; for another worker it is forgotten", async () => {
  const b = bench({ turns: [[{ say: "waits" }, { wait: 1_500 }, { say: "on" }], [{ hang: true }]] });
  const spec = b.spec({}, { stallMs: 300 });
  const connection = await b.spawn(spec);
  await connection.request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "a" });
  expect(await connection.request({ cmd: "silence", expected: true })).toMatchObject({ ok: true, applied: true });
  expect((await b.ended(spec, "T1")).end).toMatchObject({ outcome: "completed", finalMessage: "on" });
  await connection.request({ cmd: "prompt", turnId: "T2", inputId: "I2", text: "b" });
  await connection.request({ cmd: "silence", expected: true });
  await b.attach(spec, 2, "two");
  expect((await b.ended(spec, "T2")).end).toMatchObject({ outcome: "failed", failure: { class: "stalled" } });
});

test("garbage, a flood and a huge line do no harm; a silent agent is interrupted and ended", async () => {
  const b = bench({
    turns: [[{ raw: "not json" }, { flood: { count: 2_000, bytes: 50 } }, { raw: "y".repeat(9 << 20) }, { say: "fine\u0000\ud800" }], [{ hang: true }]],
  });
  const spec = b.spec({}, { stallMs: 2_000 });
  const connection = await b.spawn(spec);
  await connection.request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "a" });
  expect((await b.ended(spec, "T1")).end.finalMessage).toBe("fine\ufffd\ufffd");
  expect((await b.events(spec, "line.unparsed")).map((one) => one.data.reason)).toEqual(["not JSON", "a line above 8 MB"]);
  expect((await b.events(spec, "message.completed"))[0]?.data.text).toHaveLength(100_000);
  // How many come with one read is the system's to say.
  expect((await b.records(spec)).filter((one) => one.kind === "delta").length).toBeLessThan(2_000);
  await connection.request({ cmd: "prompt", turnId: "T2", inputId: "I2", text: "b" });
  expect((await b.ended(spec, "T2")).end).toMatchObject({ outcome: "failed", failure: { class: "stalled" } });
  expect(b.agentLog()).toContain("cancel");
});
