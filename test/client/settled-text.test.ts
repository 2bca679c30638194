import { settledText } from "../../client/settled-text.ts";
import type { ChainRow, FactsRow } from "../../store/rows.ts";

test("of a chain the candidate that it ended with is told, not one that nobody has judged", () => {
  const at = "2026-01-01T00:00:00.000Z";
  const candidate = (tree: string) => ({ commit: `commit-of-${tree}`, tree, files: 1 });
  const facts = {
    createdAt: at,
    startedAt: at,
    closedAt: at,
    closeReason: "chain ended: approved",
    lastSeq: 9,
    lastActivityAt: at,
    approvals: [],
    pendingInputs: [],
    turn: null,
  };
  const usage = { costMicros: 0, inputTokens: 0, outputTokens: 0 };
  const row = { sessionUlid: "S", name: "T/executor-1", candidate: candidate("later"), lastDone: null, turns: { usage, completed: 2 } } as unknown as FactsRow;
  const found = { row, facts: facts as never, pending: [] };
  const chain = { chainId: "C", state: "ended", reason: "approved", why: "all passed", candidate: candidate("judged") } as ChainRow;
  expect(settledText(found, chain)).toContain("tree judged");
  expect(settledText(found, chain)).not.toContain("later");
  expect(settledText(found, null)).toContain("tree later");
});
