import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeAsRoot } from "../faults/support/small-disk.ts";
import { endNodeProcesses, nodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";

// Two closed directories above the data, and no `unshare` on PATH: root in a container.
const checkout = join(import.meta.dirname, "../..");
const directory = temporaryDirectory();
const home = join(directory, "home");
const dataDir = join(home, "postgres");
const place = join("/var/lib/baton", createHash("sha256").update(dataDir).digest("hex").slice(0, 12));

afterAll(async () => {
  await endNodeProcesses();
  for (const suffix of ["", "-2"]) rmSync(`${place}${suffix}`, { recursive: true, force: true });
});

/** Starts it, asks it something, stops it; gives what it said. In a process of its own: this one's PATH is not jest's to change. */
async function once(password: string): Promise<string[]> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const script = join(checkout, "test", "local", "postgres-once.ts");
  const one = nodeProcess(script, { args: [dataDir, password], env: { PATH: directory } });
  const { code } = await one.ended;
  const lines = one.output().trimEnd().split("\n");
  expect([code, lines.at(-1)]).toEqual([0, "answered"]);
  return lines.slice(0, -1);
}

describeAsRoot("Postgres's data outside the home", () => {
  test("a home that was removed and made anew gets data of its own, and the former ones stay", async () => {
    expect(await once("first")).toEqual([expect.stringContaining(`keeps its data in ${place}`)]);
    expect(await once("first")).toEqual([]);
    writeFileSync(join(place, "witness"), "mine");
    rmSync(home, { recursive: true });
    expect(await once("second")).toEqual([expect.stringContaining(`${place} has the data of a former home`), expect.stringContaining(`${place}-2`)]);
    expect([readFileSync(join(place, "witness"), "utf8"), readlinkSync(dataDir)]).toEqual(["mine", `${place}-2`]);
  }, 120_000);

  test("data that were removed behind the link are made anew, and that is said", async () => {
    rmSync(`${place}-2`, { recursive: true });
    expect(await once("second")).toEqual([expect.stringMatching(/DATA ARE GONE.*-2/)]);
    expect(await once("second")).toEqual([]);
  }, 120_000);
});
