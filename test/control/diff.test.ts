import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launchScripted } from "../faults/support/launch.ts";
import { caller, onDoor } from "./on-door.ts";

const on = onDoor();
const { key, sessions, git, idle } = on;

test("diff: a candidate against its base and against the one before, by path, as a stat, bounded; a planted driver is not run", async () => {
  const { session } = await idle("diffed", [
    [{ edit: { path: "a.txt", content: "one\n" } }],
    [{ edit: { path: "a.txt", content: "one\ntwo\n" } }, { edit: { path: "dir/b.txt", content: "b\n".repeat(20_000) } }],
  ]);
  const first = ((await sessions().get({ sessionUlid: session }))["lastTurn"] as { turnId: string }).turnId;
  await sessions().input(caller, { sessionUlid: session, prompt: "more" });
  await on.baton.turnsEnded(session, 2, 30_000);
  const trap = join(on.stack.home, "trap");
  for (const name of ["diff.external", "diff.trap.textconv", "diff.trap.command", "core.fsmonitor"]) git("config", name, `touch ${trap}; cat`);
  writeFileSync(join(on.stack.repository, ".git", "info", "attributes"), "* diff=trap\n");
  const diff = async (args: Record<string, unknown>) => (await on.door.call({ action: "diff", sessionUlid: session, ...args })).data ?? {};
  expect(await diff({ turnId: first })).toMatchObject({
    against: "base",
    files: [{ path: "a.txt", added: 1, deleted: 0 }],
    truncated: false,
    diff: expect.stringContaining("+one"),
  });
  const whole = await diff({});
  expect(whole).toMatchObject({ totals: { files: 2, added: 20_002 }, truncated: true });
  expect(Buffer.byteLength(JSON.stringify(whole))).toBeLessThan(32_768);
  expect(await diff({ against: "previous", path: "a.txt" })).toMatchObject({ files: [{ path: "a.txt", added: 1 }], truncated: false });
  expect(String((await diff({ against: "previous", path: "a.txt" }))["diff"])).toMatch(/^ one\n\+two$/m);
  expect(await diff({ stat: true })).not.toHaveProperty("diff");
  expect(existsSync(trap)).toBe(false);
  const refused = async (args: Record<string, unknown>) => (await on.door.call({ action: "diff", sessionUlid: session, ...args })).error;
  expect(await refused({ path: "../x" })).toMatchObject({ code: "INVALID_ARGUMENT", field: "path" });
  expect(await refused({ turnId: "01JNOSUCHTURN0000000000000" })).toMatchObject({ code: "NOT_FOUND", field: "turnId" });
  const fresh = await launchScripted(on.baton, on.stack, { key: key("no-candidate"), turns: [["hang"]] });
  expect((await on.door.call({ action: "diff", sessionUlid: fresh })).error).toMatchObject({ code: "CONFLICT_STATE" });
}, 120_000);
