import { execFileSync } from "node:child_process";
import { appendFileSync, chmodSync, existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repositoryInspector } from "../../client/inspect-repository.ts";

const scratch = mkdtempSync(join(tmpdir(), "baton-inspect-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

test("a transport that an agent planted in a repository of its own does not run, whatever base is asked for", async () => {
  const repository = join(scratch, "planted");
  const mark = join(scratch, "ran");
  const evil = join(scratch, "evil.sh");
  writeFileSync(evil, `#!/bin/sh\necho ran >> ${mark}\n`);
  chmodSync(evil, 0o755);
  const git = (...args: string[]): void =>
    void execFileSync("git", ["-C", repository, "-c", "user.name=a", "-c", "user.email=a@b", ...args], { stdio: "pipe" });
  execFileSync("git", ["init", "-q", repository]);
  git("commit", "-q", "--allow-empty", "-m", "one");
  for (const [key, value] of [
    ["core.repositoryFormatVersion", "1"],
    ["extensions.partialClone", "evil"],
    ["remote.evil.url", "ssh://x/y"],
    ["remote.evil.promisor", "true"],
    ["core.sshCommand", evil],
  ] as const)
    git("config", key, value);
  const missing = "1".repeat(40);
  await expect(repositoryInspector(process.env)(repository, missing)).rejects.toMatchObject({ code: "INVALID_ARGUMENT", detail: { field: "baseRef" } });
  expect(existsSync(mark)).toBe(false);
  // The control: a plain git runs it.
  expect(() => git("rev-parse", `${missing}^{commit}`)).toThrow();
  expect(existsSync(mark)).toBe(true);
});

describe("what git does not read is refused with what helps", () => {
  /** A repository, and what the door says of it. */
  function made(name: string) {
    const repository = join(scratch, name);
    execFileSync("git", ["init", "-q", repository]);
    execFileSync("git", ["-C", repository, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "one"]);
    return repository;
  }
  const said = async (path: string, env: Record<string, string | undefined> = process.env) => {
    const refused = await repositoryInspector(env)(path).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "INVALID_ARGUMENT", detail: { field: "repositoryPath" } });
    return (refused as Error).message;
  };

  test("somebody else's", async () => {
    const repository = made("others");
    // Git's own switch for its tests; the inspector hands no such variable on.
    const bin = join(scratch, "bin");
    mkdirSync(bin);
    const real = execFileSync("sh", ["-c", "command -v git"], { encoding: "utf8" }).trim();
    writeFileSync(join(bin, "git"), `#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec ${real} "$@"\n`, { mode: 0o755 });
    const message = await said(repository, { PATH: `${bin}:${process.env["PATH"]}`, HOME: scratch });
    expect(message).toContain(`git config --global --add safe.directory '${realpathSync(repository)}'`);
    expect(message).not.toContain("git init");
  });

  test("a bad config", async () => {
    const repository = made("bad");
    appendFileSync(join(repository, ".git/config"), "[broken\n");
    const message = await said(repository);
    expect(message).toContain(`mend ${join(repository, ".git/config")}`);
    expect(message).not.toContain("git init");
  });

  test("none, a bare one, no directory", async () => {
    const plain = join(scratch, "plain");
    mkdirSync(plain);
    expect(await said(plain)).toContain("git init");
    const bare = join(scratch, "bare.git");
    execFileSync("git", ["init", "-q", "--bare", bare]);
    expect(await said(bare)).toContain("without files checked out");
    expect(await said(join(scratch, "nowhere"))).toContain("no directory on this machine");
  });
});
