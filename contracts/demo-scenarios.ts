/** One step of a scripted agent: exactly one key. */
export type DemoStep =
  | { say: { text: string } }
  | { think: { text: string } }
  | { edit: { path: string; content: string } }
  | { run: { command: string } }
  | { wait: { ms: number } }
  | {
      verdict: {
        decision: "approved" | "changes_requested" | "rejected";
        score: number;
        summary: string;
        findings: { severity: "blocker" | "high" | "medium" | "nit"; title: string; path?: string; line?: number }[];
      };
    };

/** Turn n plays `turns[n]`, the last one repeats. */
export interface DemoScenario {
  turns: DemoStep[][];
}

const firstGreet = `/** Greets somebody by name. */
export function greet(name) {
  return \`Hello, \${name.trim()}!\`;
}
`;

const finalGreet = `/** Greets somebody by name; without a name it greets the world. */
export function greet(name) {
  const who = String(name ?? "").trim();
  return \`Hello, \${who === "" ? "world" : who}!\`;
}
`;

const firstTest = `import assert from "node:assert/strict";
import test from "node:test";
import { greet } from "../src/greet.mjs";

test("greets by name", () => assert.equal(greet("Ada"), "Hello, Ada!"));
test("ignores spaces around the name", () => assert.equal(greet("  Ada "), "Hello, Ada!"));
`;

const finalTest = `${firstTest}
test("greets the world without a name", () => {
  for (const nobody of ["", "   ", undefined, null]) assert.equal(greet(nobody), "Hello, world!");
});
`;

const runTests = "node --test test/greet.test.mjs";

/** What the agents of the presets demo-executor, demo-reviewer and demo-auditor do, in any repository: a fix, a finding, the whole fix. */
export const demoScenarios: { executor: DemoScenario; reviewer: DemoScenario; auditor: DemoScenario } = {
  executor: {
    turns: [
      [
        { think: { text: "greet keeps the spaces around a name. I trim it, then cover that with a test." } },
        { say: { text: "I make greet ignore the spaces around a name and add a test. " } },
        { wait: { ms: 300 } },
        { edit: { path: "src/greet.mjs", content: firstGreet } },
        { edit: { path: "test/greet.test.mjs", content: firstTest } },
        { run: { command: runTests } },
        { say: { text: "Done: greet trims the name, both tests pass." } },
      ],
      [
        { think: { text: "The reviewer is right: an empty or missing name still gives a broken greeting." } },
        { say: { text: "I handle empty and missing names too. " } },
        { wait: { ms: 300 } },
        { edit: { path: "src/greet.mjs", content: finalGreet } },
        { edit: { path: "test/greet.test.mjs", content: finalTest } },
        { run: { command: runTests } },
        { say: { text: 'Done: without a name greet says "Hello, world!"; three tests pass.' } },
      ],
    ],
  },
  reviewer: {
    turns: [
      [
        { think: { text: "What happens without a name?" } },
        { run: { command: "node -e \"import('./src/greet.mjs').then((m) => console.log(JSON.stringify(m.greet(''))))\"" } },
        { say: { text: 'An empty name still gives "Hello, !". ' } },
        {
          verdict: {
            decision: "changes_requested",
            score: 60,
            summary: "Trimming works, but an empty or missing name is not handled.",
            findings: [
              {
                severity: "high",
                title: 'greet("") returns "Hello, !" and greet(undefined) throws; it should greet the world.',
                path: "src/greet.mjs",
                line: 3,
              },
            ],
          },
        },
      ],
      [
        { run: { command: runTests } },
        { say: { text: "Empty and missing names are handled and tested. " } },
        { verdict: { decision: "approved", score: 95, summary: "The finding is fixed and covered by a test.", findings: [] } },
      ],
    ],
  },
  auditor: {
    turns: [
      [
        { think: { text: "Was the finding fixed in the tree that was approved, and only that?" } },
        { run: { command: "git log --oneline -3" } },
        { say: { text: "The record is complete: one finding, one fix, approved on the tree that holds it. " } },
        { verdict: { decision: "approved", score: 92, summary: "The task is fulfilled, the finding was fixed, nothing else was touched.", findings: [] } },
      ],
    ],
  },
};
