import { setTimeout as sleep } from "node:timers/promises";
import { until } from "../support/until.ts";
import { alive, bench, marked } from "./harness.ts";

const prompt = { cmd: "prompt", turnId: "T1", inputId: "I1", text: "go" } as const;

test("an interrupt that a deaf agent ignores ends it and its detached children that ignore TERM", async () => {
  const b = bench({ turns: [[{ ignoreSignals: { children: 2 } }, { hang: true }]] });
  const spec = b.spec();
  const connection = await b.spawn(spec);
  const { pid } = await connection.status();
  await connection.request(prompt);
  const children = await until("two children", () => {
    const found = [...b.agentLog().matchAll(/child (\d+)/g)].map((one) => Number(one[1]));
    return found.length === 2 && found;
  });
  await until("children that run", () => children.every(alive));
  const { agentPid } = await connection.status();
  await connection.request({ cmd: "interrupt", turnId: "T1" });
  expect((await b.ended(spec, "T1")).end.outcome).toBe("interrupted");
  await until("the runner's end", () => !alive(pid));
  // The softer rungs came first, and in their order.
  expect(b.agentLog()).toMatch(/cancel[\s\S]*(stdin end[\s\S]*signal SIGTERM|signal SIGTERM[\s\S]*stdin end)/);
  expect((await b.event(spec, "process.exited")).data).toMatchObject({ signal: "SIGKILL", expected: true });
  expect([agentPid ?? 0, ...children].filter(alive)).toEqual([]);
  expect(marked(b.sessionUlid)).toEqual([]);
});

test("a turn that is denied and stopped ends, also when its agent goes on and hears nothing", async () => {
  const b = bench({ turns: [[{ ignoreSignals: {} }, { ask: { title: "rm x", onDeny: [{ say: "I go on" }, "hang"] } }]] });
  const spec = b.spec();
  const connection = await b.spawn(spec);
  await connection.request(prompt);
  const { approvalId } = (await b.event(spec, "approval.requested")).data;
  expect(await connection.request({ cmd: "respond", approvalId, decision: "deny_stop" })).toMatchObject({ ok: true, applied: true });
  expect((await b.ended(spec, "T1")).end).toMatchObject({ outcome: "interrupted" });
  expect(b.agentLog()).toContain("cancel");
  expect((await b.event(spec, "process.exited")).data).toMatchObject({ signal: "SIGKILL", expected: true });
  expect((await b.events(spec, "command.completed")).map((one) => one.data.status)).toEqual(["denied"]);
});

test("a close finds what left the agent's tree, though the agent itself goes by itself", async () => {
  const b = bench({
    turns: [
      [
        { run: "setsid sh -c 'trap \"\" TERM; echo $$ > stray; while :; do sleep 1; done' >/dev/null 2>&1 & while ! test -s stray; do sleep 0.05; done" },
        { say: "ok" },
      ],
    ],
  });
  const spec = b.spec({ stopGraceMs: 10_000 });
  const connection = await b.spawn(spec);
  const { pid } = await connection.status();
  await connection.request(prompt);
  expect((await b.ended(spec, "T1")).end.finalMessage).toBe("ok");
  const { agentPid } = await connection.status();
  const strays = marked(b.sessionUlid).filter((one) => one !== agentPid);
  expect(strays.length).toBeGreaterThanOrEqual(1);
  await connection.request({ cmd: "close", reason: "done" });
  await until("the runner's end", () => !alive(pid));
  expect(marked(b.sessionUlid)).toEqual([]);
  expect(strays.filter(alive)).toEqual([]);
  expect(b.agentLog()).toMatch(/exit by/);
});

test("the orphan limit ends an agent that nobody watches, and writes no end of the turn", async () => {
  const b = bench({ turns: [[{ hang: true }]] });
  const spec = b.spec({ orphanMs: 500, stopGraceMs: 300 });
  const connection = await b.spawn(spec);
  const { pid } = await connection.status();
  await connection.request(prompt);
  const { agentPid } = await connection.status();
  // Attached, it does not run.
  await sleep(1_200);
  expect(alive(pid)).toBe(true);
  expect(await connection.status()).toMatchObject({ turnId: "T1", closing: false });
  connection.detach();
  await until("the runner's end", () => !alive(pid));
  expect(alive(agentPid ?? 0)).toBe(false);
  expect(marked(b.sessionUlid)).toEqual([]);
  expect(b.runnerLog()).toContain("closed: orphaned");
  const marks = (await b.records(spec)).flatMap((one) => (one.kind === "mark" ? [one.mark] : []));
  expect(marks).toEqual(["prompt.written"]);
});

test("TERM to a runner loses the attempt; a close by command ends the turn as interrupted", async () => {
  for (const [end, marks] of [
    ["term", ["prompt.written"]],
    ["close", ["prompt.written", "turn.ended"]],
  ] as const) {
    const b = bench({ turns: [[{ hang: true }]] });
    const spec = b.spec({ stopGraceMs: 300 });
    const connection = await b.spawn(spec);
    const { pid } = await connection.status();
    await connection.request(prompt);
    if (end === "term") process.kill(pid, "SIGTERM");
    else await connection.request({ cmd: "close", reason: "abort" });
    await until("the runner's end", () => !alive(pid));
    expect((await b.records(spec)).flatMap((one) => (one.kind === "mark" ? [one.mark] : []))).toEqual(marks);
    expect(marked(b.sessionUlid)).toEqual([]);
  }
});

test("a runner without work ends after the keep-alive time, attached or not", async () => {
  const b = bench({ turns: [[{ wait: 900 }, { say: "x" }]] });
  const spec = b.spec({ keepAliveMs: 700 });
  const connection = await b.spawn(spec);
  const { pid } = await connection.status();
  await connection.request(prompt);
  // A turn longer than the limit is work.
  expect((await b.ended(spec, "T1")).end.outcome).toBe("completed");
  await until("the runner's end", () => !alive(pid));
  expect(b.runnerLog()).toContain("closed: idle");
  expect(marked(b.sessionUlid)).toEqual([]);
});
