import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../support/until.ts";

/** Children of `parent` that wait for a session. */
function waiting(parent: number): number[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      const of = readFileSync(`/proc/${entry}/stat`, "latin1").split(") ")[1]?.split(" ")[1];
      return Number(of) === parent && readFileSync(`/proc/${entry}/cmdline`, "latin1").includes("--standby") ? [Number(entry)] : [];
    } catch {
      return [];
    }
  });
}
const lives = (pid: number): boolean => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z ");
  } catch {
    return false;
  }
};

test("a runner that waits for a session leaves when its worker is killed", async () => {
  const directory = mkdtempSync(join(tmpdir(), "baton-test-standby-"));
  const worker = spawn(process.execPath, [join(import.meta.dirname, "standby-process.ts"), join(directory, "log")], { stdio: "ignore" });
  try {
    const [pid] = await until("a runner is ready", () => {
      const found = waiting(worker.pid ?? 0);
      return found.length === 1 && found;
    });
    const gone = once(worker, "exit");
    worker.kill("SIGKILL");
    await gone;
    await until("it left", () => !lives(pid!));
  } finally {
    worker.kill("SIGKILL");
    rmSync(directory, { recursive: true, force: true });
  }
});
