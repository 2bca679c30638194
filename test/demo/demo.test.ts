import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { demoScenarios } from "../../contracts/demo-scenarios.ts";
import type { BatonEvent } from "../../contracts/event.ts";
import { makeScratchProject } from "../../demo/scratch-project.ts";
import { describeEvent, printable, timelineLine } from "../../demo/timeline.ts";

function play(turn: number, project: { path: string }): string[] {
  const commands: string[] = [];
  for (const step of demoScenarios.executor.turns[turn] ?? []) {
    if ("edit" in step) {
      const file = join(project.path, step.edit.path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, step.edit.content);
    }
    if ("run" in step) commands.push(step.run.command);
  }
  return commands;
}

const runDemo = (env: Record<string, string>, args: string[] = []): Promise<{ code: number | null; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ["demo/main.ts", ...args],
      { cwd: join(import.meta.dirname, "../.."), env: { PATH: process.env["PATH"], ...env } },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });

describe("the demo's story is true", () => {
  test("the check fails before, fails after the first turn, passes after the second; the agents' own commands succeed", async () => {
    const project = await makeScratchProject(process.env);
    try {
      const commit = async (): Promise<string> => {
        await project.git(["add", "-A"]);
        await project.git(["commit", "-qm", "x"]);
        return project.git(["rev-parse", "HEAD"]);
      };
      expect((await project.check(project.base)).passed).toBe(false);
      for (const [turn, passes] of [
        [0, false],
        [1, true],
      ] as const) {
        const commands = play(turn, project);
        expect(commands).toHaveLength(1);
        for (const command of commands) expect(await shell(command, project.path)).toBe(0);
        expect((await project.check(await commit())).passed).toBe(passes);
      }
      for (const turn of demoScenarios.reviewer.turns.concat(demoScenarios.auditor.turns))
        for (const step of turn) if ("run" in step) expect(await shell(step.run.command, project.path)).toBe(0);
    } finally {
      await project.remove();
    }
    expect(existsSync(project.path)).toBe(false);
  }, 60_000);

  test("every step has one key, every verdict can be read by a gate", () => {
    const all = Object.values(demoScenarios).flatMap((s) => s.turns.flat());
    for (const step of all) expect(Object.keys(step)).toHaveLength(1);
    expect(JSON.parse(JSON.stringify(demoScenarios))).toEqual(demoScenarios);
    const verdicts = (s: { turns: object[][] }): unknown[] =>
      s.turns
        .map((t) => t.map((step) => ("verdict" in step ? (step.verdict as { decision: string; score: number }) : null)).find((v) => v !== null))
        .map((v) => [v?.decision, v?.score]);
    expect(verdicts(demoScenarios.reviewer)).toEqual([
      ["changes_requested", 60],
      ["approved", 95],
    ]);
    expect(verdicts(demoScenarios.auditor)).toEqual([["approved", 92]]);
  });
});

describe("timeline", () => {
  const event = (type: string, data: unknown): BatonEvent => ({ seq: 1, at: "2030-01-01T00:00:00.000Z", sessionUlid: "S", type, data }) as BatonEvent;
  test("says what happened on one line, without what a terminal obeys", () => {
    expect(describeEvent(event("message.completed", { role: "agent", text: "a\u001b[31m\nb\u202e" }))).toBe("says: a[31m b");
    expect(describeEvent(event("message.completed", { role: "user", text: "x" }))).toBeNull();
    expect(describeEvent(event("something.new", {}))).toBeNull();
    expect(describeEvent(event("thought.completed", { text: "x".repeat(500) }))).toHaveLength(160);
    expect(timelineLine(1234, "reviewer", "runs: x")).toBe("   +1.2s  reviewer  runs: x");
    expect(printable("a\r\n\tb\u009b1m")).toBe("a\n\tb1m");
  });
});

describe("main", () => {
  test("says what is missing", async () => {
    expect(await runDemo({})).toEqual({ code: 1, stdout: "", stderr: expect.stringMatching(/^BATON_URL and BATON_TOKEN are not set.*\n$/) });
    expect(await runDemo({ BATON_URL: "http://127.0.0.1:1", BATON_TOKEN: "t" })).toEqual({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^No Baton answers at http:\/\/127\.0\.0\.1:1\/mcp .*npm start.*\n$/),
    });
    expect((await runDemo({}, ["--nonsense"])).stderr).toContain("Usage:");
  }, 30_000);
});

function shell(command: string, cwd: string): Promise<number> {
  return new Promise((resolve) => {
    execFile("sh", ["-c", command], { cwd, env: { PATH: process.env["PATH"] ?? "", HOME: cwd } }, (error) => resolve(error ? Number(error.code) : 0));
  });
}
