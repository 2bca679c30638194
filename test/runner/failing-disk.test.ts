import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runnerControl } from "../../runner/control-client.ts";
import { until } from "../support/until.ts";
import { alive, bench, marked } from "./harness.ts";

const main = join(import.meta.dirname, "../../runner/main.ts");
/** A runner whose disk takes everything and confirms nothing. */
const unsynced = `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
fs.fdatasyncSync = () => { throw Object.assign(new Error("EIO: i/o error, fdatasync"), { code: "EIO" }); };
syncBuiltinESMExports();
await import(${JSON.stringify(main)});`;

test("a prompt that cannot be brought to the disk ends its runner, not its turn: the next attempt looks what is there", async () => {
  const b = bench({ turns: [[{ say: "never asked" }]] });
  const mainPath = join(b.cwd, "unsynced.mjs");
  writeFileSync(mainPath, unsynced);
  const spec = b.spec();
  const connection = await runnerControl({ nodePath: process.execPath, mainPath, env: process.env }).spawn(spec);
  const { pid } = await connection.status();
  b.watch(pid);
  await expect(connection.request({ cmd: "prompt", turnId: "T1", inputId: "I1", text: "go" })).rejects.toMatchObject({ code: "gone" });
  await until("the runner's end", () => !alive(pid));
  expect(marked(b.sessionUlid)).toEqual([]);
  const marks = (await b.records(spec)).flatMap((one) => (one.kind === "mark" ? [one.mark] : []));
  expect(marks).toEqual(["prompt.written"]);
  expect(b.agentLog()).not.toContain("never asked");
}, 60_000);
