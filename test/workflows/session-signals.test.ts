import { ulid } from "ulid";
import { quietTemporal } from "../support/quiet-temporal.ts";
import { until } from "../support/until.ts";
import { done, openTrial } from "./trial.ts";

quietTemporal();

type Trial = Awaited<ReturnType<typeof openTrial>>;
const trials: Trial[] = [];
afterEach(() => Promise.all(trials.splice(0).map((trial) => trial.close())));

/** A session whose engine comes up when the Signals have long been there. */
async function signalled(...signals: ["input" | "close" | "abort" | "unheardOf", unknown][]) {
  const trial = await openTrial({ runTurn: async (a) => done(a.turnId) }, { engine: "later" });
  trials.push(trial);
  const args = trial.args();
  const handle = await trial.startSession(args);
  for (const [name, body] of signals) await handle.signal(name, body);
  await Promise.all([trial.startHost(), trial.startEngine()]);
  return { trial, handle, ends: () => trial.of("endSession") as { waiting: string[] }[] };
}

describe("Signals that were there before the first workflow task", () => {
  test("an input behind a close is not the close's: it is left for the next generation", async () => {
    const inputId = ulid();
    const { handle, ends } = await signalled(["close", { reason: "enough" }], ["input", { inputId }]);
    expect(await handle.result()).toMatchObject({ state: "closed", reason: "enough", turns: 0 });
    expect(ends()).toEqual([expect.objectContaining({ waiting: [] })]);
  });

  test("an input before a close was there when it came", async () => {
    const inputId = ulid();
    const { handle, ends } = await signalled(["input", { inputId }], ["close", { reason: "enough" }]);
    expect(await handle.result()).toMatchObject({ state: "closed", turns: 0 });
    expect(ends()).toEqual([expect.objectContaining({ waiting: [inputId] })]);
  });

  test("an abort takes what came before it, not what came after; a Signal of no known name is nothing", async () => {
    const [before, after] = [ulid(), ulid()];
    const { trial, handle } = await signalled(
      ["input", { inputId: before }],
      ["unheardOf", {}],
      ["abort", { turnId: before, drop: [] }],
      ["input", { inputId: after }],
    );
    // On two workers: either may be first.
    await until("the later input's turn, and the end of the first", () => trial.of("runTurn").length === 1 && trial.of("failInputs").length === 1);
    expect(trial.of("runTurn")).toEqual([expect.objectContaining({ turnId: after })]);
    expect(trial.of("failInputs")).toEqual([expect.objectContaining({ inputIds: [before], reason: "aborted" })]);
    await handle.terminate();
  });
});
