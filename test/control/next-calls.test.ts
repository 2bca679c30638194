import { onDoor } from "./on-door.ts";

const on = onDoor();
const { key } = on;

interface Answered {
  ok: boolean;
  action: string;
  data: Record<string, unknown>;
  next: { args: Record<string, unknown> }[];
}
/** Each answer must be a success. */
async function call(args: Record<string, unknown>): Promise<Answered> {
  const answer = (await on.door.call(args)) as unknown as Answered;
  expect(answer).toMatchObject({ ok: true });
  return answer;
}
/** What its `next` says first, sent as it is, until nothing is left to do. */
async function follow(answer: Answered): Promise<{ path: string[]; last: Answered }> {
  const path: string[] = [];
  let last = answer;
  for (let at = 0; at < 5 && last.next?.[0]; at += 1) {
    last = await call(last.next[0].args);
    path.push(String(last.action));
  }
  return { path, last };
}
const turns = [
  [{ wait: 300 }, { say: "one" }],
  [{ wait: 300 }, { say: "two" }],
  [{ wait: 300 }, { say: "three" }],
  [{ wait: 300 }, { say: "four" }],
];
const ended = async (last: Answered, n: number, text: string) => {
  const [session] = last.data["sessions"] as { sessionUlid: string; status: string }[];
  expect(last.data).toMatchObject({ met: true, sessions: [{ status: "IDLE" }] });
  expect(await call({ action: "get", sessionUlid: session?.sessionUlid })).toMatchObject({
    data: { turns: { total: n, completed: n }, lastTurn: { finalMessage: text } },
  });
};

test("from start to a finished turn, and from each turn to the next, by what `next` says alone", async () => {
  const started = await call({
    action: "start",
    clientRequestId: key("start"),
    actor: "@test",
    contextRef: key("spike"),
    role: "executor",
    provider: "scripted",
    systemPrompt: "x",
    launcherConfigKey: "demo-executor",
    repositoryPath: on.stack.repository,
    config: { scenario: { turns } },
  });
  const { sessionUlid } = started.data;
  const first = await follow(started);
  expect(first.path).toEqual(["run", "wait"]);
  await ended(first.last, 1, "one");
  // At once after an end: not that one is waited for.
  const second = await follow(await call({ action: "input", sessionUlid, prompt: "more" }));
  expect(second.path).toEqual(["wait"]);
  await ended(second.last, 2, "two");
  await on.baton.closeSession(String(sessionUlid));
  const third = await follow(await call({ action: "restart", clientRequestId: key("restart"), actor: "@test", sessionUlid }));
  expect(third.path).toEqual(["wait"]);
  await ended(third.last, 3, "three");
  await on.baton.closeSession(String(sessionUlid));
  const fourth = await follow(await call({ action: "restart", clientRequestId: key("restart-2"), actor: "@test", sessionUlid, run: false }));
  expect(fourth.path).toEqual(["run", "wait"]);
  await ended(fourth.last, 4, "four");
}, 120_000);

test("a task that was launched without a turn gets its own prompt", async () => {
  const launched = await call({
    action: "launch_task",
    clientRequestId: key("no-run"),
    actor: "@test",
    taskKey: key("no-run"),
    launcherConfigKey: "demo-executor",
    run: false,
    config: { scenario: { turns } },
    task: { title: "Greet", repositoryPath: on.stack.repository },
  });
  const { path, last } = await follow(launched);
  expect(path).toEqual(["run", "wait"]);
  await ended(last, 1, "one");
}, 120_000);
