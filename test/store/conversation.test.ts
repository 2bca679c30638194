import { noUsage } from "../../contracts/event.ts";
import type { NewEvent } from "../../contracts/event.ts";
import { freshStore, newSession } from "./rows.ts";

let fresh: Awaited<ReturnType<typeof freshStore>>;
beforeAll(async () => {
  fresh = await freshStore();
});
afterAll(() => fresh.end());

test("a conversation costs what its own finished turns cost, in whatever process", async () => {
  const { sessionUlid } = await newSession(fresh.store);
  let n = 0;
  const append = (event: Omit<NewEvent, "at">) => fresh.store.events.append(sessionUlid, [{ key: `k${(n += 1)}`, event }]);
  const ready = (resumed: boolean) => append({ type: "session.agent_ready", data: { providerSessionId: "s", resumed, resumable: true } });
  const turn = (costMicros: number) =>
    append({ type: "turn.completed", turnId: `T${n}`, data: { outcome: "completed", usage: { ...noUsage, costMicros }, finalMessage: "" } });
  const cost = async () => (await fresh.store.sessions.conversation(sessionUlid)).costMicros;

  expect(await cost()).toBe(0);
  await ready(false);
  await turn(700);
  await ready(true);
  await turn(300);
  expect(await cost()).toBe(1_000);
  await ready(false);
  expect(await cost()).toBe(0);
  await turn(50);
  expect(await cost()).toBe(50);
});
