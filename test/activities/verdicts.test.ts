import type { ChainConfig } from "../../contracts/chain-config.ts";
import { evaluate } from "../../activities/gates.ts";
import { effectiveDecision, parseVerdict } from "../../activities/parse-verdict.ts";
import type { VerdictRow } from "../../store/rows.ts";

const block = (value: unknown): string => `\`\`\`json\n${typeof value === "string" ? value : JSON.stringify(value, null, 2)}\n\`\`\``;
const good = { decision: "approved", score: 90, summary: "fine", findings: [] };

describe("the verdict in a final message", () => {
  test("is its last block of the right shape", () => {
    expect(parseVerdict(`First thoughts:\n\n${block({ ...good, score: 10 })}\n\nOn reflection:\n\n${block(good)}\nThat is all.`)).toEqual(good);
    expect(parseVerdict(`${block(good)}\n\n${block({ some: "other json" })}\n\n${block("not json at all {")}`)).toEqual(good);
    expect(parseVerdict(`  \`\`\`JSON\r\n${JSON.stringify(good)}\r\n  \`\`\``)).toEqual(good);
  });
  test("findings: null means nowhere; what is not ours is left out", () => {
    expect(
      parseVerdict(
        block({
          ...good,
          extra: 1,
          findings: [
            { severity: "nit", title: "t", path: null, line: null, more: 2 },
            { severity: "blocker", title: "u", path: "a.ts", line: 3 },
          ],
        }),
      ),
    ).toEqual({
      ...good,
      findings: [
        { severity: "nit", title: "t" },
        { severity: "blocker", title: "u", path: "a.ts", line: 3 },
      ],
    });
  });
  test.each<[string, string]>([
    ["no block", "I approve. Score 90."],
    ["a bare object", JSON.stringify(good)],
    ["a block of another language", `\`\`\`ts\n${JSON.stringify(good)}\n\`\`\``],
    ["a block that another one interrupts", `\`\`\`json\n${JSON.stringify(good).slice(0, 20)}\n\`\`\`json\n${JSON.stringify(good).slice(20)}\n\`\`\``],
    ["an open fence", `\`\`\`json\n${JSON.stringify(good)}`],
    ["a decision of its own", block({ ...good, decision: "lgtm" })],
    ["the example, copied", block({ ...good, decision: "approved | changes_requested | rejected" })],
    ["a score above 100", block({ ...good, score: 101 })],
    ["half a point", block({ ...good, score: 1.5 })],
    ["a score in words", block({ ...good, score: "90" })],
    ["no findings", block({ decision: "approved", score: 1, summary: "" })],
    ["a finding without a title", block({ ...good, findings: [{ severity: "nit", title: " " }] })],
    ["a severity of its own", block({ ...good, findings: [{ severity: "meh", title: "t" }] })],
    ["line zero", block({ ...good, findings: [{ severity: "nit", title: "t", line: 0 }] })],
    ["a list", block([good])],
    ["201 findings", block({ ...good, findings: Array.from({ length: 201 }, () => ({ severity: "nit", title: "t" })) })],
  ])("is not there: %s", (_name, message) => {
    expect(parseVerdict(message)).toBeNull();
  });
  test("a long message without a verdict is read in no time", () => {
    const started = performance.now();
    expect(parseVerdict("```json\n".repeat(20_000))).toBeNull();
    expect(parseVerdict(` ${"\t ".repeat(50_000)}`)).toBeNull();
    expect(performance.now() - started).toBeLessThan(2_000);
  });
  test("an approval with a blocker is none", () => {
    expect(effectiveDecision("approved", [{ severity: "blocker" }])).toBe("changes_requested");
    expect(effectiveDecision("approved", [{ severity: "high" }])).toBe("approved");
    expect(effectiveDecision("rejected", [{ severity: "blocker" }])).toBe("rejected");
  });
});

describe("gates", () => {
  const config = { gates: { reviews: { quorum: 2, minScore: 80 }, audit: { minScore: 70 } } } as ChainConfig;
  let n = 0;
  const verdict = (more: Partial<VerdictRow> = {}): VerdictRow => {
    n += 1;
    return {
      verdictId: `${n}`,
      chainId: "c",
      sessionUlid: `s${n}`,
      turnId: "t",
      role: "reviewer",
      round: 1,
      decision: "approved",
      score: 90,
      summary: "",
      findings: [],
      tree: "T",
      createdAt: "",
      ...more,
    };
  };
  const failing = (verdicts: VerdictRow[], stage: "review" | "final" = "review", change: ChainConfig = config): string[] =>
    evaluate(change, verdicts, { round: 1, tree: "T", stage })
      .filter((g) => !g.passed)
      .map((g) => g.name);
  test("quorum, lowest score, blockers", () => {
    expect(failing([verdict(), verdict()])).toEqual([]);
    expect(failing([])).toEqual(["reviews.quorum", "reviews.score"]);
    expect(failing([verdict(), verdict({ score: 79 })])).toEqual(["reviews.score"]);
    expect(failing([verdict(), verdict({ decision: "changes_requested" })])).toEqual(["reviews.quorum"]);
    expect(failing([verdict(), verdict(), verdict({ findings: [{ severity: "blocker", title: "t" }] })])).toEqual(["reviews.blockers"]);
  });
  test("a verdict on another tree or of another round does not count; one session counts once, with its last word", () => {
    expect(failing([verdict(), verdict({ tree: "U" })])).toEqual(["reviews.quorum"]);
    expect(failing([verdict(), verdict({ round: 2 })])).toEqual(["reviews.quorum"]);
    expect(failing([verdict({ sessionUlid: "same" }), verdict({ sessionUlid: "same" })])).toEqual(["reviews.quorum"]);
    expect(failing([verdict(), verdict({ sessionUlid: "x", score: 1 }), verdict({ sessionUlid: "x" })])).toEqual([]);
  });
  test("the audit counts at the end only, and only the auditor's", () => {
    const reviews = [verdict(), verdict()];
    expect(failing(reviews)).toEqual([]);
    expect(failing(reviews, "final")).toEqual(["audit"]);
    expect(failing([...reviews, verdict({ role: "auditor", score: 70 })], "final")).toEqual([]);
    expect(failing([...reviews, verdict({ role: "auditor", score: 69 })], "final")).toEqual(["audit"]);
    expect(failing([...reviews, verdict({ role: "auditor", findings: [{ severity: "blocker", title: "t" }] })], "final")).toEqual(["audit"]);
    expect(failing(reviews, "final", { gates: { ...config.gates, audit: null } } as ChainConfig)).toEqual([]);
  });
});
