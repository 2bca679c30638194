import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { agentStarts, emitted, stored } from "../support/agent-words.ts";
import { audit } from "../support/auditor.ts";
import { launchNumbered } from "../support/launch.ts";
import { onOwnServers } from "../support/own-servers.ts";
import { describeAsRoot, mountSmallDisk, type SmallDisk } from "../support/small-disk.ts";

describeAsRoot("Postgres on a small disk", () => {
  let disk: SmallDisk;
  let path = "";
  const on = onOwnServers({
    postgres: {
      // With more than this it keeps old segments on a disk that is small on purpose.
      settings: { max_wal_size: "64MB", min_wal_size: "32MB" },
      dataDir: () => {
        path = mkdtempSync(join(tmpdir(), "baton-disk-"));
        disk = mountSmallDisk(path, 160);
        return join(path, "data");
      },
    },
    start: ["engine", "host"],
  });
  afterEach(() => disk.free());
  // Runs after the servers' own end.
  afterAll(() => {
    if (path === "") return;
    disk.unmount();
    rmSync(path, { recursive: true, force: true });
  });

  test("with a full disk under Postgres agents work on, appends wait, and with space again each event is there once (row 15)", async () => {
    const session = await launchNumbered(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-pgfull`, count: 900, everyMs: 10 });
    await on.baton.eventually("the agent works", async () => (await stored(on.baton, session)) > 10, 30_000);
    disk.fill();
    // Postgres may refuse, or end itself when it cannot write its log: what is stored stands still, what is said does not.
    const now = async (): Promise<{ table: number | null; said: number }> => ({
      table: await stored(on.baton, session).catch(() => null),
      said: emitted(on.stack, session),
    });
    let last = await now();
    await on.baton.eventually(
      "appends wait while the agent speaks",
      async () => {
        const before = last;
        await sleep(1_000);
        last = await now();
        return (last.table === null || last.table === before.table) && last.said > (last.table ?? 0);
      },
      30_000,
    );
    console.log(`Postgres with a full disk: up ${on.postgres.isUp()}, ${JSON.stringify(last)}`);
    await on.baton.eventually("the agent is through", async () => emitted(on.stack, session) === 900, 60_000);
    disk.free();
    if (!on.postgres.isUp()) await on.postgres.start();
    await on.baton.eventually("the end", async () => (await on.baton.outcomes(session).catch(() => [])).length > 0, 60_000);
    expect(await on.baton.outcomes(session)).toEqual(["completed"]);
    expect(await stored(on.baton, session)).toBe(900);
    expect(agentStarts(on.stack, session)).toEqual({ starts: 1, prompts: 1 });
    await on.baton.turnsEnded(session, 1, 60_000);
    expect(await audit({ databaseUrl: on.stack.databaseUrl, home: on.stack.home, sessions: [session], turnsPerSession: 1 })).toEqual([]);
  }, 180_000);
});
