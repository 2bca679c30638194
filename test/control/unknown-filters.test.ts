import { ulid } from "ulid";
import { eventTypes } from "../../contracts/event-types.ts";
import { onRows } from "./session-rows.ts";

const on = onRows();
/** An answer that does not wait for news. */
async function soon<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<T>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it waited")), 5_000);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

test("events by a type that there is not are refused with those that there are", async () => {
  const sessionUlid = await on.session();
  const refused = on.baton.sessions.events({ sessionUlid, types: ["turn.completed", "message"], waitMs: 20_000 });
  await expect(soon(refused)).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    message: expect.stringContaining('"message"'),
    detail: { field: "types", allowed: expect.arrayContaining(["message.completed", "turn.completed"]) },
  });
  await expect(on.baton.sessions.events({ sessionUlid, types: ["message.complete"] })).rejects.toThrow('did you mean "message.completed"?');
  expect(await on.baton.sessions.events({ sessionUlid, types: [...eventTypes] })).toMatchObject({ events: [{ type: "session.created" }] });
});

test("events of a turn that the session has not are refused; of one that is still queued they are waited for", async () => {
  const sessionUlid = await on.session();
  const others = await on.turn(await on.session());
  for (const turnId of ["nope", ulid(), others.turnId])
    await expect(soon(on.baton.sessions.events({ sessionUlid, turnId, waitMs: 20_000 }))).rejects.toMatchObject({
      code: "NOT_FOUND",
      message: expect.stringContaining(turnId),
      detail: { field: "turnId" },
    });
  const inputId = ulid();
  await on.store.transaction((tx) =>
    on.store.inputs.insert(tx, { inputId, sessionUlid, prompt: "x", delivery: "queue", source: "test", requestId: null, limit: 50 }),
  );
  expect(await on.baton.sessions.events({ sessionUlid, turnId: inputId })).toMatchObject({ events: [] });
  await on.store.inputs.fail(sessionUlid, [inputId], "test");
  const { turnId, end } = await on.turn(sessionUlid);
  await end();
  expect(await on.baton.sessions.events({ sessionUlid, turnId, types: ["plan.updated"] })).toMatchObject({ events: [] });
});

test("a task that nobody knows is not waited for; its key may come as the context has it", async () => {
  for (const taskKey of ["NOSUCH-1", "TASK-NOSUCH-1"])
    await expect(soon(on.baton.sessions.wait({ taskKey, waitMs: 20_000 }))).rejects.toMatchObject({ code: "NOT_FOUND", detail: { field: "taskKey" } });
  const caller = { principal: "local" };
  await on.baton.tasks.create(caller, { taskKey: "HAS-1", title: "x", repositoryPath: on.repositoryPath, clientRequestId: "has-1" });
  for (const taskKey of ["HAS-1", "TASK-HAS-1"]) expect(await on.baton.sessions.wait({ taskKey, waitMs: 0 })).toMatchObject({ met: false, sessions: [] });
  const sessionUlid = await on.session({ contextRef: "TASK-HAD-1", taskKey: "HAD-1" });
  for (const taskKey of ["HAD-1", "TASK-HAD-1"])
    expect(await on.baton.sessions.wait({ taskKey, waitMs: 0 })).toMatchObject({ met: true, sessions: [{ sessionUlid }] });
  // To whom the task is hidden it is not there; whose it is may wait for its first session.
  const wait = (taskKey: string, reach: { owner: string } | { session: string; subtree: true }) => soon(on.baton.sessions.wait({ taskKey, waitMs: 0, reach }));
  await expect(wait("HAD-1", { owner: "bob" })).rejects.toMatchObject({ code: "NOT_FOUND", message: "There is no task HAD-1." });
  expect(await wait("HAS-1", { owner: "bob" })).toMatchObject({ sessions: [] });
  await expect(wait("HAS-1", { session: sessionUlid, subtree: true })).rejects.toMatchObject({ code: "NOT_FOUND", message: "There is no task HAS-1." });
  await on.baton.tasks.create(caller, { taskKey: "HAD-1", title: "x", repositoryPath: on.repositoryPath, clientRequestId: "had-1" });
  expect(await wait("TASK-HAD-1", { session: sessionUlid, subtree: true })).toMatchObject({ sessions: [] });
});
