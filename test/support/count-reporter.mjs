import { writeSync } from "node:fs";
import process from "node:process";

/** Prints `N passed, N failed` as the very last line of a run. A file that could not even run counts as one failure. */
export default class CountReporter {
  constructor(globalConfig) {
    this.chosenByName = Boolean(globalConfig.testNamePattern);
  }

  onRunComplete(_contexts, results) {
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    // A test that did not run shows nothing: it is said, not left to be noticed.
    const skipped = this.chosenByName
      ? []
      : results.testResults.flatMap((file) => file.testResults.filter((one) => one.status === "pending").map((one) => one.fullName));
    // jest's own summary comes after every reporter
    process.once("exit", () => writeSync(1, `${skipped.map((name) => `\nnot run: ${name}`).join("")}\n${results.numPassedTests} passed, ${failed} failed\n`));
  }
}
