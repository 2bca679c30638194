import { pmStatus, sessionActivity, sessionAttention, sessionState, type SessionFacts } from "../../contracts/session-status.ts";

const at = (n: number) => `2026-01-01T00:00:0${n}.000Z`;
const idle: SessionFacts = {
  createdAt: at(0),
  startedAt: at(1),
  closingAt: null,
  closedAt: null,
  closeReason: null,
  failed: false,
  workspace: "ready",
  lastSeq: 9,
  lastActivityAt: at(5),
  approvals: [],
  pendingInputs: [],
  hostAlive: true,
  turn: { turnId: "T1", state: "done", startedAt: at(2), endedAt: at(4), outcome: "completed", failure: null },
};
const open = { ...idle, turn: { turnId: "T1", state: "running" as const, startedAt: at(2), endedAt: null, outcome: null, failure: null } };
const permission = { approvalId: "A1", kind: "permission" as const, title: "rm -rf build", askedAt: at(3), options: [] };

describe("a session's status", () => {
  test.each<[string, SessionFacts, string, string, string | null]>([
    ["row only", { ...idle, startedAt: null, turn: null, workspace: "pending" }, "starting", "RUNNING", null],
    [
      "first input, no workspace",
      { ...idle, turn: null, workspace: "pending", pendingInputs: [{ inputId: "I", createdAt: at(1) }] },
      "starting",
      "RUNNING",
      null,
    ],
    ["nothing asked yet", { ...idle, turn: null }, "idle", "IDLE", "ready"],
    ["turn runs", open, "running", "RUNNING", "active"],
    ["turn waits for a slot", { ...open, turn: { ...open.turn, state: "queued" } }, "running", "RUNNING", "ready"],
    ["permission asked", { ...open, approvals: [permission] }, "waiting", "RUNNING", "blocked"],
    ["question asked", { ...open, approvals: [{ ...permission, kind: "question" }] }, "waiting", "RUNNING", "waiting_input"],
    ["turn ended", idle, "idle", "IDLE", "idle"],
    ["turn ended, queue not empty", { ...idle, pendingInputs: [{ inputId: "I", createdAt: at(4) }] }, "running", "RUNNING", "active"],
    ["closing while its turn is ended", { ...open, closingAt: at(4), approvals: [permission] }, "closing", "RUNNING", "active"],
    ["closing with nothing open", { ...idle, closingAt: at(4) }, "closing", "RUNNING", "idle"],
    ["closed", { ...idle, closingAt: at(5), closedAt: at(6), closeReason: "superseded" }, "closed", "CLOSED", "exited"],
    ["closed while asking", { ...open, approvals: [permission], closedAt: at(6) }, "closed", "CLOSED", "exited"],
    ["failed", { ...idle, closedAt: at(6), failed: true }, "failed", "FAILED", "exited"],
    ["workspace failed", { ...idle, turn: null, workspace: "failed" }, "failed", "FAILED", "exited"],
  ])("%s", (_, facts, state, status, activity) => {
    expect([sessionState(facts).state, pmStatus(sessionState(facts).state), sessionActivity(facts)]).toEqual([state, status, activity]);
  });

  test("since is the fact that caused it, never a clock", () => {
    expect(sessionState(idle)).toEqual({ state: "idle", since: at(4), reason: "turn completed" });
    expect(sessionState({ ...open, approvals: [permission] }).since).toBe(at(3));
  });
});

describe("attention", () => {
  test.each([
    ["auth", "auth", "pm_provider"],
    ["rate_limit", "rate_limited", "pm_session"],
    ["stalled", "stalled", "pm_session"],
    ["anything else", "failed", "pm_session"],
  ])("a turn that failed by %s waits as %s", (failureClass, kind, tool) => {
    const failure = { class: failureClass, message: "why", retryable: false };
    const [first] = sessionAttention("S", { ...idle, turn: { ...idle.turn!, outcome: "failed", failure } });
    expect(first).toMatchObject({ kind, say: "why", next: [{ tool }, ...(kind === "auth" ? [{}] : []), { args: { prompt: "Continue." } }] });
  });
  test("an open permission comes with calls that can be sent", () => {
    const [first] = sessionAttention("S", { ...open, approvals: [permission] });
    expect(first).toMatchObject({
      kind: "approval",
      say: "rm -rf build",
      next: [{ tool: "pm_session", args: { action: "respond", approvalId: "A1", decision: "allow" } }, { args: { decision: "deny" } }],
    });
  });
  test("a failed turn, an unknown outcome and a lost host each say so; a finished turn says nothing", () => {
    const kinds = (facts: SessionFacts) => sessionAttention("S", facts).map((a) => a.kind);
    expect(kinds(idle)).toEqual([]);
    expect(kinds({ ...idle, turn: { ...open.turn, state: "done", outcome: "failed" } })).toEqual(["failed"]);
    expect(kinds({ ...idle, turn: { ...open.turn, state: "done", outcome: "unknown" } })).toEqual(["outcome_unknown"]);
    expect(kinds({ ...open, hostAlive: false })).toEqual(["host_lost"]);
    expect(kinds({ ...open, closedAt: at(6), approvals: [permission] })).not.toContain("approval");
  });
});
