import { execFile } from "node:child_process";
import { mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** A small project with a bug, in its own git repository. */
export interface ScratchProject {
  path: string;
  /** the branch's commit */
  base: string;
  git(args: string[]): Promise<string>;
  /** Runs the project's own check on a commit, in a fresh checkout. `output`: its last lines. */
  check(commit: string): Promise<{ passed: boolean; output: string }>;
  remove(): Promise<void>;
}

const files: Record<string, string> = {
  "README.md": "# Greeter\n\nA greeting, and a check that it is right: `node check.mjs`.\n",
  "src/greet.mjs": "/** Greets somebody by name. */\nexport function greet(name) {\n  return `Hello, ${name}!`;\n}\n",
  "check.mjs": `import assert from "node:assert/strict";
import { greet } from "./src/greet.mjs";

assert.equal(greet("Ada"), "Hello, Ada!");
assert.equal(greet("  Ada "), "Hello, Ada!", "spaces around a name are ignored");
for (const nobody of ["", "   ", undefined, null]) assert.equal(greet(nobody), "Hello, world!", "without a name the world is greeted");
console.log("check passed");
`,
};

interface Outcome {
  code: number;
  output: string;
}

function run(program: string, args: string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { cwd, env, timeout: 60_000, maxBuffer: 16_777_216 }, (error, stdout, stderr) => {
      if (error && typeof error.code === "string") reject(new Error(`${program} cannot be run: ${error.message}`));
      else resolve({ code: error ? Number(error.code ?? 1) : 0, output: error ? `${stdout}${stderr}` : stdout });
    });
  });
}

/** Makes the project in a temporary directory. `environment` gives PATH and HOME. */
export async function makeScratchProject(environment: Record<string, string | undefined>): Promise<ScratchProject> {
  const root = await realpath(await mkdtemp(join(tmpdir(), "baton-demo-")));
  const path = join(root, "greeter");
  const identity = { GIT_AUTHOR_NAME: "Demo", GIT_AUTHOR_EMAIL: "demo@localhost", GIT_COMMITTER_NAME: "Demo", GIT_COMMITTER_EMAIL: "demo@localhost" };
  const env = { ...Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith("GIT_") && !name.startsWith("BATON_"))), ...identity };

  async function git(args: string[]): Promise<string> {
    const done = await run("git", ["-C", path, ...args], root, env);
    if (done.code !== 0) throw new Error(`git ${args[0]} failed: ${done.output.trim()}`);
    return done.output.replace(/\n$/, "");
  }

  try {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(dirname(join(path, name)), { recursive: true });
      await writeFile(join(path, name), content);
    }
    await git(["init", "--quiet", "--initial-branch=main"]);
    await git(["add", "--all"]);
    await git(["-c", "commit.gpgSign=false", "commit", "--quiet", "--message", "A greeter"]);
  } catch (error) {
    await rm(root, { recursive: true, force: true });
    throw error;
  }

  let checks = 0;
  return {
    path,
    base: await git(["rev-parse", "HEAD"]),
    git,
    async check(commit) {
      checks += 1;
      const checkout = join(root, `check-${checks}`);
      await git(["worktree", "add", "--quiet", "--detach", checkout, commit]);
      try {
        const done = await run(process.execPath, ["check.mjs"], checkout, env);
        return { passed: done.code === 0, output: done.output.trim().split("\n").slice(-20).join("\n") };
      } finally {
        await git(["worktree", "remove", "--force", checkout]);
      }
    },
    remove: () => rm(root, { recursive: true, force: true }),
  };
}
