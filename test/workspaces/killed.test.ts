import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { WorkspacePlan } from "../../contracts/workspaces.ts";
import { scratch } from "./scratch.ts";

// Prepares, works, captures, removes in one process that is killed somewhere on the way.
const program = `
const { openWorkspaces } = await import(process.argv[1]);
const { home, plan, environment } = JSON.parse(process.argv[2]);
const { writeFileSync } = await import("node:fs");
const workspaces = openWorkspaces({ home, environment });
process.stdout.write("go\\n");
const { head } = await workspaces.prepare(plan);
writeFileSync(plan.path + "/work.txt", "work\\n");
await workspaces.capture({ plan, base: head, turnId: "T", attempt: 1, at: "2030-01-01T00:00:00Z" });
await workspaces.remove(plan);
process.stdout.write("end\\n");
`;

test("killed with SIGKILL at any moment, the next process finishes and no work is lost", async () => {
  const s = scratch();
  for (let n = 0; n < 60; n += 1) {
    mkdirSync(join(s.repo, `d${n}`));
    writeFileSync(join(s.repo, `d${n}/f`), `${n}\n`.repeat(2000));
  }
  s.git(["add", "."]);
  s.git(["commit", "-qm", "more"]);
  const main = s.git(["rev-parse", "main"]),
    environment = { PATH: process.env["PATH"], HOME: s.home };
  // Tells whether it came to its end; `after` is when it is killed, ms from its first word.
  async function run(plan: WorkspacePlan, after: number | null) {
    const child = spawn(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        program,
        join(import.meta.dirname, "../../workspaces/open-workspaces.ts"),
        JSON.stringify({ home: s.home, plan, environment }),
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    const closed = once(child, "close"); // listened for from the start: it may end before the kill
    let said = "";
    child.stdout.on("data", (text: Buffer) => {
      said += text.toString();
    });
    await once(child.stdout, "data");
    const started = performance.now();
    if (after !== null) {
      await sleep(after);
      child.kill("SIGKILL");
    }
    await closed;
    return { ended: said.includes("end"), took: performance.now() - started };
  }

  const whole = await run(s.plan("baton/whole"), null);
  expect(whole.ended).toBe(true);
  let killedMidway = 0;
  const kills = 24;
  for (let n = 0; n < kills; n += 1) {
    const plan = s.plan(n % 2 ? null : `baton/K-${n}`);
    // spread over the time that the undisturbed one took on this machine
    if (!(await run(plan, (whole.took * n) / kills)).ended) killedMidway += 1;
    await sleep(50); // a git that outlived its parent ends by itself

    expect(await s.workspaces.prepare(plan)).toEqual({ path: plan.path, head: main });
    const left = s.git(["status", "--porcelain"], plan.path);
    expect(["", "?? work.txt"]).toContain(left);
    const c = await s.workspaces.capture({ plan, base: main, turnId: "U", attempt: 1, at: "2030-01-01T00:00:00Z" });
    expect(c.files).toBe(left === "" ? 0 : 1);
    expect((await s.workspaces.remove(plan)).snapshot !== null).toBe(left !== "");
  }
  expect(killedMidway).toBeGreaterThan(5);
  expect(s.git(["worktree", "list", "--porcelain"]).match(/^worktree /gm)).toHaveLength(1);
}, 300_000);
