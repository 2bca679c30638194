import { ulid } from "ulid";
import type { NewSession } from "../../store/rows.ts";
import { onBaton } from "../client/on-baton.ts";
import { newSession } from "../store/rows.ts";

const on = onBaton();

let n = 0;
/** Two closed sessions that cannot both be open. */
async function rivals(change: Partial<NewSession>): Promise<{ sessionUlid: string; name: string }[]> {
  const made: { sessionUlid: string; name: string }[] = [];
  for (let of = 0; of < 2; of += 1) {
    const row = await newSession(on.store, { branchName: `baton/rival-${(n += 1)}`, ...change });
    await on.store.sessions.end({ sessionUlid: row.sessionUlid, generation: 1, state: "closed", reason: "done" });
    made.push(row);
  }
  return made;
}
const input = (sessionUlid: string, principal: string, prompt = "go on") => on.baton.sessions.input({ principal }, { sessionUlid, prompt });

describe.each([
  ["agent, role and context", () => ({ contextRef: `C-${ulid()}` })],
  ["repository", () => ((path) => ({ repositoryPath: path, worktreePath: path, branchName: null }))(`/r-${ulid()}`)],
])("two closed sessions of the same %s", (_what, change) => {
  test("of two that are woken at once one is; the other hears which", async () => {
    const [one, other] = await rivals(change());
    const woken = Promise.withResolvers<void>();
    const first = on.store.transaction(async (tx) => {
      await on.store.sessions.wake(tx, one!.sessionUlid);
      woken.resolve();
      await new Promise((resolve) => setTimeout(resolve, 300));
    });
    await woken.promise;
    // It cannot see the first one's row, and waits at the index.
    const second = input(other!.sessionUlid, "local");
    await expect(second).rejects.toMatchObject({ code: "CONFLICT_STATE", detail: { currentState: "closed" } });
    await first;
  });

  test("the refusal says where, with a call that can be sent, to those whose session it is, and to nobody else", async () => {
    const [one, other] = await rivals(change());
    await on.store.transaction((tx) => on.store.sessions.wake(tx, one!.sessionUlid));
    const refused = async (principal: string, prompt?: string) =>
      (await input(other!.sessionUlid, principal, prompt).catch((error: unknown) => error)) as { message: string; detail: { next?: { args: object }[] } };
    for (const principal of ["local", "p"]) {
      const { message, detail } = await refused(principal);
      expect(message).toContain(`${one!.sessionUlid} (${one!.name})`);
      expect(detail.next?.map((call) => call.args)).toEqual([{ action: "input", sessionUlid: one!.sessionUlid, prompt: "go on" }]);
    }
    const stranger = await refused("q");
    expect(stranger).toMatchObject({ code: "CONFLICT_STATE" });
    expect(JSON.stringify([stranger.message, stranger.detail])).not.toContain(one!.sessionUlid);
    expect((await refused("local", "x".repeat(5_000))).detail.next).toEqual([]);
  });
});
