import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { SpoolEntry } from "../../runner/spool-reader.ts";
import { readSpool } from "../../runner/spool-reader.ts";
import { startTicks } from "../../providers/process-tree.ts";
import { until } from "../support/until.ts";
import { alive, bench, marked } from "./harness.ts";

const prompt = { cmd: "prompt", turnId: "T1", inputId: "I1", text: "go" } as const;
const numbers = (entries: SpoolEntry[]): number[] =>
  entries.flatMap(({ record }) =>
    record.kind === "event" && record.event.type === "tool.started" ? [Number((record.event.data as { title: string }).title.replace("number ", ""))] : [],
  );

test("kill -9 of the client leaves the agent untouched, and who attaches next goes on from the offset", async () => {
  const b = bench({ turns: [[{ numbered: { count: 60, everyMs: 50 } }, { say: "counted" }]] });
  const spec = b.spec();
  const file = join(b.cwd, "client-spec.json");
  writeFileSync(file, JSON.stringify(spec));
  const client = spawn(process.execPath, [join(import.meta.dirname, "client-process.ts"), file], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(client.stdout, "data")) as [Buffer];
  b.watch(Number(said.toString()));

  const path = join(spec.dir, `spool-${spec.launch.runnerId}.ndjson`);
  const before = await until("some numbers", async () => {
    const read = await readSpool(path, 0, 1 << 20);
    return numbers(read.records).length >= 3 && read;
  });
  const agents = marked(b.sessionUlid);
  const ticks = agents.map(startTicks);
  expect(agents).toHaveLength(1);
  client.kill("SIGKILL");
  await once(client, "exit");

  const connection = await b.attach(spec, 2, "two");
  expect(await connection.status()).toMatchObject({ pid: Number(said.toString()), agentPid: agents[0], turnId: "T1", promptedTurns: ["T1"], epoch: 2 });
  // The new client does not know whether the prompt went out: saying it again must not start the turn again.
  expect(await connection.request(prompt)).toMatchObject({ ok: true });
  expect((await b.ended(spec, "T1")).end).toMatchObject({ outcome: "completed", finalMessage: "counted" });
  expect(marked(b.sessionUlid)).toEqual(agents);
  expect(agents.map(startTicks)).toEqual(ticks);
  const after = await readSpool(path, before.end, 1 << 20);
  expect([...numbers(before.records), ...numbers(after.records)]).toEqual(Array.from({ length: 60 }, (_, n) => n + 1));
  expect(b.agentLog().match(/prompt turn/g)).toHaveLength(1);
});

test("a higher epoch takes the runner over; the lower one, and a stranger with the same, are fenced for good", async () => {
  const b = bench({ turns: [[{ say: "x" }]] });
  const spec = b.spec();
  const first = await b.spawn(spec);
  const { pid } = await first.status();
  const heard: unknown[] = [];
  first.onNotice((notice) => heard.push(notice));
  const second = await b.attach(spec, 2, "two");
  await until("the older connection's end", () => heard.includes(null));
  await expect(first.request(prompt)).rejects.toMatchObject({ code: "gone" });
  for (const [epoch, owner] of [
    [1, "one"],
    [1, "two"],
    [2, "stranger"],
  ] as const)
    await expect(b.attach(spec, epoch, owner)).rejects.toMatchObject({ code: "fenced" });
  // The refused ones did not push the owner out.
  expect(await second.status()).toMatchObject({ epoch: 2, promptedTurns: [] });
  expect(JSON.parse(readFileSync(join(spec.dir, "epoch.json"), "utf8"))).toEqual({ epoch: 2, owner: "two" });

  await second.request({ cmd: "close", reason: "done" });
  await until("the runner's end", () => !alive(pid));
  await expect(b.spawn(b.spec())).rejects.toMatchObject({ code: "superseded" });
  await expect(b.spawn(b.spec({ epoch: 2, owner: "stranger" }))).rejects.toMatchObject({ code: "superseded" });
  expect((await (await b.spawn(b.spec({ epoch: 2, owner: "two" }))).status()).epoch).toBe(2);
});

test("of two runners of one session the second exits; after kill -9 of the first the next ends its agent", async () => {
  // One that hears nothing and has a child: without its runner it would work on for ever.
  const b = bench({ turns: [[{ ignoreSignals: { children: 1 } }, { hang: true }]] });
  const spec = b.spec();
  const first = await b.spawn(spec);
  await first.request(prompt);
  await until("the agent's child", () => marked(b.sessionUlid).length >= 2 && b.agentLog().includes("child"));
  const { pid, agentPid } = await first.status();
  const childPid = Number(/child (\d+)/.exec(b.agentLog())?.[1]);
  await expect(b.spawn(b.spec({ epoch: 2, owner: "two" }))).rejects.toMatchObject({
    code: "spawn_failed",
    message: expect.stringContaining("another runner holds the session"),
  });
  expect([agentPid ?? 0, childPid].map(alive)).toEqual([true, true]);
  // The one that did not get the lock left no trace in the fence.
  expect(JSON.parse(readFileSync(join(spec.dir, "epoch.json"), "utf8"))).toEqual({ epoch: 1, owner: "one" });
  expect(await first.status()).toMatchObject({ pid, turnId: "T1" });

  process.kill(pid, "SIGKILL");
  await until("the runner's end", () => !alive(pid));
  await sleep(300);
  expect([agentPid ?? 0, childPid].map(alive)).toEqual([true, true]);
  const third = await b.spawn(b.spec({ epoch: 2, owner: "two" }));
  expect([agentPid ?? 0, childPid].map(alive)).toEqual([false, false]);
  await until("the new agent", async () => (await third.status()).agentPid);
  expect(marked(b.sessionUlid)).toEqual([(await third.status()).agentPid]);
  expect((await b.records(spec)).some((one) => one.kind === "mark" && one.mark === "turn.ended")).toBe(false);
});

test("a runner that is stopped counts as gone after a while, not for ever; it keeps its agent from a second one, and is found again when it goes on", async () => {
  const b = bench({ turns: [[{ wait: 60_000 }, { say: "x" }]] });
  const spec = b.spec();
  const first = await b.spawn(spec);
  await first.request(prompt);
  const { pid } = await first.status();
  const ended = new Promise<void>((resolve) => first.onNotice((notice) => notice === null && resolve()));
  process.kill(pid, "SIGSTOP");
  try {
    // It accepts connections: the kernel does that for it.
    const asked = [first.status(), first.request({ cmd: "interrupt", turnId: "another" }), b.attach(spec, 2, "two")];
    for (const one of await Promise.allSettled(asked))
      expect(one).toMatchObject({ status: "rejected", reason: { code: "gone", message: expect.stringContaining("did not answer") } });
    await ended;
    await expect(b.spawn(b.spec({ epoch: 2, owner: "two" }))).rejects.toMatchObject({ code: "spawn_failed" });
  } finally {
    process.kill(pid, "SIGCONT");
  }
  const again = await b.attach(spec, 3, "three");
  expect(await again.status()).toMatchObject({ pid, turnId: "T1", promptedTurns: ["T1"], epoch: 3 });
  expect(b.agentLog().match(/prompt turn/g)).toHaveLength(1);
}, 40_000);
