import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { agentStarts, emitted, stored } from "../support/agent-words.ts";
import { audit } from "../support/auditor.ts";
import { launchNumbered, launchScripted, openTestBaton, type TestBaton } from "../support/launch.ts";
import { endStack } from "../support/leftovers.ts";
import { describeAsRoot, mountSmallDisk, type SmallDisk } from "../support/small-disk.ts";
import { openStack, type Stack } from "../support/stack.ts";

describeAsRoot("a home on small disks", () => {
  /** Two small disks in one home: for the spools, and for the worktrees. */
  const caller = { principal: "local", actor: "@test" };
  let stack: Stack;
  let baton: TestBaton;
  const disks: SmallDisk[] = [];
  let spools: SmallDisk;
  let worktrees: SmallDisk;
  beforeAll(async () => {
    stack = await openStack();
    disks.push((spools = mountSmallDisk(join(stack.home, "runners"), 4)), (worktrees = mountSmallDisk(join(stack.home, "worktrees"), 4)));
    await Promise.all([stack.startEngine(), stack.startHost()]);
    baton = await openTestBaton(stack);
  }, 120_000);
  afterEach(() => {
    for (const disk of disks) disk.free();
  });
  afterAll(async () => {
    const close = async (): Promise<void> => {
      for (const disk of disks) disk.unmount();
      await stack.close();
    };
    await endStack(baton, { ...stack, close });
  }, 120_000);

  const key = (name: string): string => `${stack.env["BATON_INSTANCE"]}-${name}`;
  const rightly = async (session: string, turns: number): Promise<void> =>
    expect(await audit({ databaseUrl: stack.databaseUrl, home: stack.home, sessions: [session], turnsPerSession: turns })).toEqual([]);

  test("with a full disk under the spool the agent is not read any more; with space again nothing is missing and nothing half written (row 15)", async () => {
    const count = 1_200;
    const session = await launchNumbered(baton, stack, { key: key("spool"), count, everyMs: 4 });
    await baton.eventually("the agent works", async () => (await stored(baton, session)) > 10, 30_000);
    spools.fill();
    let said = -1;
    await baton.eventually(
      "the agent stands still",
      async () => {
        const before = said;
        await sleep(1_500);
        return (said = emitted(stack, session)) === before;
      },
      30_000,
    );
    expect(said).toBeLessThan(count);
    spools.free();
    await baton.turnsEnded(session, 1, 60_000);
    expect(await baton.outcomes(session)).toEqual(["completed"]);
    expect(await stored(baton, session)).toBe(count);
    const notices = await baton.query(
      "select 1 from event where session_ulid = $1 and type = 'notice.raised' and data->>'message' like 'spool_blocked: ENOSPC%'",
      [session],
    );
    expect(notices.length).toBeGreaterThan(0);
    expect(agentStarts(stack, session)).toEqual({ starts: 1, prompts: 1 });
    await rightly(session, 1);
  }, 150_000);

  test("with a full disk under the worktree a turn ends as what it is, and the next one finds all that was written (row 15)", async () => {
    const session = await launchScripted(baton, stack, {
      key: key("worktree"),
      turns: [
        [
          { edit: { path: "first.txt", content: "first\n" } },
          { numbered: { count: 60, everyMs: 50 } },
          { run: "head -c 200000 /dev/zero > more.bin" },
          { say: "tried" },
        ],
        [{ edit: { path: "second.txt", content: "second\n" } }, { run: "cat first.txt second.txt" }, { say: "well" }],
      ],
    });
    await baton.eventually("the agent works", async () => (await stored(baton, session)) > 3, 30_000);
    worktrees.fill();
    await baton.turnsEnded(session, 1, 60_000);
    worktrees.free();
    await baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "again" });
    await baton.turnsEnded(session, 2, 60_000);
    expect(await baton.outcomes(session)).toEqual(["completed", "completed"]);
    const [row] = await baton.query<{ files: string[]; commit: string }>("select candidate->>'commit' as commit from session where session_ulid = $1", [
      session,
    ]);
    expect(row?.commit).toMatch(/^[0-9a-f]{40}$/);
    const output = await baton.query<{ output: string }>(
      "select data->>'output' as output from event where session_ulid = $1 and type in ('command.completed', 'tool.completed') order by seq desc",
      [session],
    );
    expect(output.map((one) => one.output)).toContain("first\nsecond\n");
    await rightly(session, 2);
  }, 150_000);

  test("a launch on a full disk leaves nothing half made, and the next one works (row 15)", async () => {
    worktrees.fill();
    const session = await launchScripted(baton, stack, { key: key("no-room"), turns: [[{ say: "here" }]] });
    await sleep(6_000);
    worktrees.free();
    const settled = async (): Promise<string> => {
      const [row] = await baton.query<{ reason: string | null; done: boolean }>(
        "select close_reason reason, exists(select 1 from turn t where t.session_ulid = s.session_ulid and t.state = 'done') done from session s where session_ulid = $1",
        [session],
      );
      return row?.done ? "done" : (row?.reason ?? "");
    };
    await baton.eventually("the session works or says why not", async () => (await settled()) !== "", 60_000);
    console.log(`a launch on a full disk: ${await settled()}`);
    if ((await settled()) !== "done") {
      // It gave up: with a reason that names the disk, and without a directory or a branch.
      const [event] = await baton.query<{ message: string }>("select data::text message from event where session_ulid = $1 and type = 'session.failed'", [
        session,
      ]);
      expect(event?.message).toMatch(/space/i);
      expect(existsSync(join(stack.home, "worktrees", session))).toBe(false);
      const known = execFileSync("git", ["-C", stack.repository, "worktree", "list", "--porcelain"], { encoding: "utf8" });
      expect(known).not.toContain(session);
    }
    const next = await launchScripted(baton, stack, { key: key("room-again"), turns: [[{ say: "here" }]] });
    await baton.turnsEnded(next, 1, 60_000);
    await rightly(next, 1);
    expect(readdirSync(join(stack.home, "worktrees"))).toContain(next);
  }, 150_000);
});
