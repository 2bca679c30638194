import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
