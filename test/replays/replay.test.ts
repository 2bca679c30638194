import { readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "@temporalio/worker";
import { workflowBundle } from "../../workers/bundle.ts";
import { quietTemporal } from "../support/quiet-temporal.ts";

quietTemporal();

interface Recorded {
  workflowId: string;
  history: { events: Record<string, unknown>[] };
}

/** `former/`: of workflows that worked in a way that none is started in any more; never recorded again. */
const names = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".json"))
  .sort();
const read = (name: string): Recorded => JSON.parse(readFileSync(join(import.meta.dirname, name), "utf8")) as Recorded;

/** The error of each replay on the workflows as they are now, by name. Recorded anew with BATON_RECORD_REPLAYS=1 (test/workflows). */
async function replay(histories: { name: string; recorded: Recorded }[]): Promise<Record<string, string | null>> {
  const bundle = await workflowBundle(join(tmpdir(), "baton-test-bundles"));
  const errors: Record<string, string | null> = {};
  // A chain derives its children's ids from its own: the id belongs to the history.
  const byId = new Map(histories.map(({ name, recorded }) => [recorded.workflowId, name]));
  const given = histories.map(({ recorded }) => recorded);
  for await (const result of Worker.runReplayHistories({ workflowBundle: bundle }, given))
    errors[byId.get(result.workflowId) ?? ""] = result.error === undefined ? null : result.error.name;
  return errors;
}

describe("histories of former runs", () => {
  test("there are sessions and chains, as they are made today and as they were", () => {
    const some = ["session-turns.json", "session-abort.json", "session-carried.json", "chain-two-rounds.json", "chain-cancelled.json"];
    expect(names).toEqual(expect.arrayContaining(some.flatMap((name) => [name, join("former", name)])));
  });

  test("each replays on the workflows of today: open sessions live through an upgrade (row 28)", async () => {
    const errors = await replay(names.map((name) => ({ name, recorded: read(name) })));
    expect(errors).toEqual(Object.fromEntries(names.map((name) => [name, null])));
  });

  test("the control: a history that these workflows would not have made is noticed", async () => {
    const tampered = (name: string, from: string, to: string): { name: string; recorded: Recorded } => {
      const text = JSON.stringify(read(name));
      expect(text.includes(`"${from}"`)).toBe(true);
      return { name, recorded: JSON.parse(text.replaceAll(`"${from}"`, `"${to}"`)) as Recorded };
    };
    const errors = await replay([tampered("session-turns.json", "runTurn", "runAnother"), tampered("chain-two-rounds.json", "evaluateGates", "startRound")]);
    expect(errors).toEqual({ "session-turns.json": "DeterminismViolationError", "chain-two-rounds.json": "DeterminismViolationError" });
  });
});
