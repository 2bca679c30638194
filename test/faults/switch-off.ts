import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Mutation } from "./support/mutations/mutation.ts";

const root = join(import.meta.dirname, "..", "..");
const folder = join(import.meta.dirname, "support", "mutations");

/**
 * Takes each protection away in a copy of the checkout and runs the test that shows it there: it must fail. A test that still
 * passes shows nothing. `names`: only protections whose words contain one of these. Returns the exit code.
 */
export async function switchOff(names: string[]): Promise<number> {
  const all = (await mutations()).filter((one) => names.length === 0 || names.some((name) => one.protection.includes(name)));
  const unknown = names.filter((name) => !all.some((one) => one.protection.includes(name)));
  if (unknown.length > 0) throw new Error(`No protection is described by "${unknown.join('", "')}": the descriptions are in ${folder}.`);
  const stale = misplaced(all);
  if (stale.length > 0) throw new Error(stale.join("\n"));
  const copy = mkdtempSync(join(tmpdir(), "baton-switched-off-"));
  let idle = 0;
  try {
    cpSync(root, copy, { recursive: true, filter: (path) => !/\/(node_modules|\.git|\.baton|build)$/.test(path) });
    symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
    for (const one of all) {
      const path = join(copy, one.file);
      const source = readFileSync(path, "utf8");
      const without = source.replace(one.find, () => one.replace);
      writeFileSync(path, one.also ? without.replace(one.also.find, () => one.also!.replace) : without);
      const failed = await testFails(copy, one);
      writeFileSync(path, source);
      console.log(`${failed ? "✓ its test fails without" : "✗ NO TEST FAILS WITHOUT"}: ${one.protection}`);
      if (!failed) idle += 1;
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
  console.log(`${all.length - idle} of ${all.length} protections are shown by a test`);
  return idle === 0 ? 0 : 1;
}

/** What would switch nothing off: the text has changed since. A sentence each. */
export function misplaced(all: Mutation[]): string[] {
  return all.flatMap(({ protection, file, find, also }) => {
    const path = join(root, file);
    const source = existsSync(path) ? readFileSync(path, "utf8") : "";
    return [find, ...(also ? [also.find] : [])].flatMap((text) => {
      const found = source.split(text).length - 1;
      return found === 1 ? [] : [`"${protection}": ${file} must have this once and has it ${found} times: ${text}`];
    });
  });
}

/** All that `--switched-off` knows. */
export async function mutations(): Promise<Mutation[]> {
  const lists = await Promise.all(
    readdirSync(folder)
      .filter((name) => name !== "mutation.ts")
      .map((name) => import(join(folder, name)) as Promise<{ mutations: Mutation[] }>),
  );
  return lists.flatMap((list) => list.mutations);
}

async function testFails(copy: string, one: Mutation): Promise<boolean> {
  const file = join(copy, "switched-off.json");
  const pattern = one.title.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const child = spawn(
    process.execPath,
    [
      "--experimental-vm-modules",
      join(copy, "node_modules/jest/bin/jest.js"),
      "--json",
      "--outputFile",
      file,
      "-i",
      "--testPathPatterns",
      one.test,
      "-t",
      pattern,
    ],
    // Without its protection a test may also leave something open that keeps the process.
    { cwd: copy, stdio: "ignore", timeout: 300_000 },
  );
  await new Promise((resolve) => child.once("exit", resolve));
  const report = JSON.parse(readFileSync(file, "utf8")) as { numFailedTests: number; numPassedTests: number };
  rmSync(file);
  if (report.numFailedTests + report.numPassedTests === 0) throw new Error(`${one.test} has no test with "${one.title}"`);
  return report.numFailedTests > 0;
}
