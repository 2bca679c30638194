import { writeSync } from "node:fs";
import process from "node:process";

/** Prints `N passed, N failed` as the very last line of a run. A file that could not even run counts as one failure. */
export default class CountReporter {
  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    // jest's own summary comes after every reporter
    process.once("exit", () => writeSync(1, `\n${results.numPassedTests} passed, ${failed} failed\n`));
  }
}
