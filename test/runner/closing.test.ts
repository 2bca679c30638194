import { join } from "node:path";
import { acpCapabilities } from "../../contracts/provider.ts";
import type { ProviderSession } from "../../contracts/provider.ts";
import { readSpool } from "../../runner/spool-reader.ts";
import { createRunner } from "../../runner/runner.ts";
import { openSpool } from "../../runner/spool-writer.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";
import { bench } from "./harness.ts";

const dir = temporaryDirectory();

test("a runner whose agent cannot be stopped ends all the same, and says so", async () => {
  const path = join(dir, "spool.ndjson");
  const spool = openSpool({ path, maxEventBytes: 256_000, mask: (text) => text, wrote: () => undefined, blocked: () => undefined });
  const session: ProviderSession = {
    providerSessionId: "S",
    pid: 1,
    prompt: () => new Promise(() => undefined),
    interrupt: () => Promise.resolve(),
    respond: () => false,
    expectSilence: () => undefined,
    close: () => Promise.reject(new Error("kill EPERM")),
    exited: new Promise(() => undefined),
  };
  const runner = createRunner({
    spec: bench({ turns: [[]] }).spec(),
    driver: { kind: "acp", capabilities: () => acpCapabilities, open: () => Promise.resolve(session) },
    spool,
    sink: { write: spool.append, raw: () => ({ file: "", offset: 0, bytes: 0 }) },
    changed: () => undefined,
    closingNow: () => undefined,
  });
  const owner = { id: 1, epoch: 1, owner: "one" };
  await runner.handle({ ...owner, cmd: "prompt", turnId: "T1", inputId: "I1", text: "go" });
  runner.close({ reason: "idle", lost: false });
  expect(await runner.closed).toBe("idle");
  const { records } = await readSpool(path, 0, 1_000_000);
  expect(records.map(({ record }) => record)).toEqual([
    expect.objectContaining({ mark: "prompt.written" }),
    { kind: "event", event: expect.objectContaining({ type: "notice.raised", data: { message: "the agent could not be stopped: kill EPERM" } }) },
    expect.objectContaining({ mark: "turn.ended", end: expect.objectContaining({ outcome: "interrupted" }) }),
  ]);
});
