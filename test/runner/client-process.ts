/** A client in a process of its own, to be killed: `node client-process.ts <file with a RunnerSpec>`. Says the runner's pid, then works on. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { RunnerSpec } from "../../contracts/runner-protocol.ts";
import { runnerControl } from "../../runner/control-client.ts";

const spec = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as RunnerSpec;
const connection = await runnerControl({ nodePath: process.execPath, mainPath: join(import.meta.dirname, "../../runner/main.ts"), env: process.env }).spawn(
  spec,
);
process.stdout.write(`${(await connection.status()).pid}\n`);
await connection.request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "go" });
