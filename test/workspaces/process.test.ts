import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { workspacesInProcess } from "../../workspaces/process-client.ts";
import { scratch } from "./scratch.ts";

/** Our children that run git's process for this home. */
function gitProcesses(home: string): number[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const command = readFileSync(`/proc/${entry}/cmdline`, "latin1").split("\0");
      const parent = readFileSync(`/proc/${entry}/stat`, "latin1").split(") ")[1]?.split(" ")[1];
      return Number(parent) === process.pid && command.some((part) => part.endsWith("process-main.ts")) && command.includes(home) ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });
}

test("the same work as in our own process; its refusals arrive with code and detail", async () => {
  const s = scratch();
  const workspaces = workspacesInProcess({ home: s.home, environment: { PATH: process.env["PATH"], HOME: s.home } });
  try {
    const plan = s.plan("baton/P-1");
    const { head } = await workspaces.prepare(plan);
    expect(head).toBe(s.git(["rev-parse", "main"]));
    writeFileSync(join(plan.path, "new.txt"), "new\n");
    expect(await workspaces.capture({ plan, base: head, turnId: "T", attempt: 1, at: "2030-01-01T00:00:00Z" })).toMatchObject({ files: 1, stable: true });
    await expect(workspaces.inspectRepository("/nonexistent/repository")).rejects.toMatchObject({
      name: "BatonError",
      code: "INVALID_ARGUMENT",
      detail: { field: "repositoryPath" },
    });
    expect(gitProcesses(s.home)).toHaveLength(1);
  } finally {
    workspaces.end();
  }
});

test("killed in the middle it is an error that may be repeated, and the next call has a new one; ended, nothing stays", async () => {
  const s = scratch();
  const workspaces = workspacesInProcess({ home: s.home, environment: { PATH: process.env["PATH"], HOME: s.home } });
  const plan = s.plan("baton/P-2");
  await workspaces.inspectRepository(s.repo);
  const [pid] = gitProcesses(s.home);
  const cut = workspaces.prepare(plan);
  process.kill(pid!, "SIGKILL");
  await expect(cut).rejects.toThrow("git's process ended: SIGKILL");
  expect((await workspaces.prepare(plan)).path).toBe(plan.path);
  expect(gitProcesses(s.home)).not.toContain(pid);
  workspaces.end();
  for (let waited = 0; gitProcesses(s.home).length > 0 && waited < 10_000; waited += 20) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(gitProcesses(s.home)).toEqual([]);
});
