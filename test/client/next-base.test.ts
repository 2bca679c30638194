import { join } from "node:path";
import { ulid } from "ulid";
import { onBaton } from "./on-baton.ts";
import { repository } from "./support.ts";

const on = onBaton("nextbase");

test("the next session goes on where the former one stopped, unless that was in another repository", async () => {
  const start = async (repositoryPath: string) =>
    String(
      (
        await on.baton.sessions.start(
          { principal: "local" },
          {
            clientRequestId: ulid(),
            actor: "@me",
            contextRef: "where",
            taskKey: "where",
            role: "executor",
            provider: "scripted",
            systemPrompt: "x",
            launcherConfigKey: "demo-executor",
            repositoryPath,
          },
        )
      ).data["sessionUlid"],
    );
  const stopped = async (sessionUlid: string, commit: string) =>
    on.sql.query("update session set workspace = 'ready', head_at_start = base_ref, candidate = $2 where session_ulid = $1", [
      sessionUlid,
      JSON.stringify({ commit, tree: "d".repeat(40), base: "e".repeat(40), ref: "refs/baton/x", files: 1 }),
    ]);
  const row = async (sessionUlid: string) =>
    (await on.sql.query("select repository_path, base_ref, close_reason from session where session_ulid = $1", [sessionUlid])).rows[0] as unknown;
  const other = repository(join(on.home, "other"));
  const first = await start(on.repositoryPath);
  await stopped(first, "c".repeat(40));
  const second = await start(on.repositoryPath);
  expect(await row(second)).toEqual({ repository_path: on.repositoryPath, base_ref: "c".repeat(40), close_reason: null });
  await stopped(second, "a".repeat(40));
  const third = await start(other);
  expect(await row(second)).toMatchObject({ close_reason: "superseded" });
  expect(await row(third)).toEqual({ repository_path: other, base_ref: "main", close_reason: null });
});
