import { join } from "node:path";
import { runnerControl } from "../../runner/control-client.ts";

/** A worker that keeps a runner ready and does nothing else, until it is killed: `node standby-process.ts <log>`. */
runnerControl({ nodePath: process.execPath, mainPath: join(import.meta.dirname, "../../runner/main.ts"), env: process.env, standbyLog: process.argv[2] ?? "" });
setInterval(() => undefined, 1_000);
