import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startOf } from "../../local/process-identity.ts";
import type { RunFile } from "../../local/run-file.ts";
import { describeAsRoot, mountSmallDisk, type SmallDisk } from "../faults/support/small-disk.ts";
import { endNodeProcesses, nodeProcess } from "../support/node-process.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { until } from "../support/until.ts";
import { endProcessesOf, main, processesOf, sharedCache } from "./support.ts";

let disk: SmallDisk | undefined;

// before the directory's own removal, which the mount would refuse
afterAll(async () => {
  endProcessesOf(directory); // first: whoever is left holds the output of those that the next one waits for
  await endNodeProcesses();
  disk?.unmount();
});
const directory = temporaryDirectory();
const home = join(directory, "disk");

describeAsRoot("npm start on a disk that fills", () => {
  test("a part that dies is started again without its entry in run.json, and Ctrl-C ends everything", async () => {
    disk = mountSmallDisk(home, 300);
    const one = nodeProcess(main, { env: { ...sharedCache, HOME: directory, BATON_HOME: home, BATON_PORT: "0" } });
    await one.line(/Baton is up/, 90_000);
    const { parts } = JSON.parse(readFileSync(join(home, "run.json"), "utf8")) as RunFile;
    disk.fill();
    for (const name of ["gateway", "postgres"]) process.kill(parts[name]?.pid ?? 0, "SIGKILL");
    await one.line(/cannot be written .*ENOSPC/);
    // Said once: each further attempt fails in silence.
    await until("both ends were seen", () => /gateway ended/.test(one.output()) && /postgres ended/.test(one.output()));
    expect(one.output().match(/cannot be written/g)).toHaveLength(1);
    expect(startOf(one.pid)).not.toBeNull();
    one.signal("SIGINT");
    expect(await one.ended).toEqual({ code: 0, signal: null });
    expect([processesOf(directory), existsSync(join(home, "run.json"))]).toEqual([[], false]);
  }, 180_000);
});
