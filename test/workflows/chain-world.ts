import { ulid } from "ulid";
import { hostQueue } from "../../contracts/messages.ts";
import type { Candidate } from "../../contracts/event.ts";
import type { ChainActivities, ChainAnswer, ChainArgs, ChainQuestion, HostActivities, RunTurnArgs, TurnResult, VerdictView } from "../../contracts/messages.ts";
import { done, openTrial } from "./trial.ts";

/** What happens around one chain: its agents' work and answers. */
export interface Play {
  /** the tree that each turn of the executor leaves, in order; the last one repeats */
  trees: string[];
  /** what each `<role>-<n>` answers, in order; the last one repeats. `null`: nothing readable */
  answers: Record<string, (Answer | null)[]>;
  /** is the tree still the one that was approved? `busy`: its agent is at work; a tree: what a turn of its own has made since. In order; the last one repeats */
  unchanged?: (boolean | "busy" | { made: string })[];
  /** no room in the session's queue for this input, now */
  full?: (key: string) => boolean;
  /** instead of an immediate end of the turn, by `<role>[-<n>]` */
  turn?: (who: string, a: RunTurnArgs) => Promise<TurnResult | undefined>;
  /** what people answer when the chain asks, now; null: nothing yet. Without it: that it may end */
  people?: (question: ChainQuestion) => Partial<ChainAnswer> | null;
}
export type Answer = VerdictView["decision"];

/** The chain's arguments as a door makes them; the executor's session is `<chainId>-executor`. */
function chainArgs(chainId: string, queue: string, more: Partial<ChainArgs> = {}): ChainArgs {
  return {
    chainId,
    taskKey: "T-1",
    reviewers: 1,
    auditor: true,
    maxRounds: 3,
    turnDeadlineSeconds: 60,
    hostQueue: queue,
    summary: "trial",
    executor: { ...sessionArgs(chainId, "executor", queue), inputId: "first" },
    ...more,
  };
}

/** A candidate whose commit is named by its tree. */
export function candidate(tree: string): Candidate & { stable: boolean } {
  return { commit: `commit-of-${tree}`, tree, ref: "refs/baton/x", base: "b", diffStat: "", files: 1, stable: tree !== "unstable" };
}

type Trial = Awaited<ReturnType<typeof openTrial>>;

/** A trial for all chains of the file, from before its first test until behind its last; `begin` starts a chain in which `play` happens. */
export function onChains() {
  const plays = new Map<string, Play>();
  const on = {
    trial: undefined as unknown as Trial,
    async begin(play: Play, more: Partial<ChainArgs> = {}) {
      const chainId = ulid();
      plays.set(chainId, play);
      return on.trial.startChain(chainArgs(chainId, hostQueue(on.trial.instance, "h"), more));
    },
  };
  beforeAll(async () => {
    on.trial = await openTrial(chainWorld(plays, () => hostQueue(on.trial.instance, "h")));
    await on.trial.startHost();
  });
  afterAll(() => on.trial.close());
  return on;
}

/** Inputs that agents sent. */
export const agents = new Set<string>();

/** The activities of all chains in `plays`, by chain id. */
function chainWorld(plays: Map<string, Play>, queue: () => string): ChainActivities & Pick<HostActivities, "runTurn" | "verifyCandidate"> {
  const counts = new Map<string, number>();
  const next = <T>(of: string, list: readonly T[]): T | undefined => {
    const n = counts.get(of) ?? 0;
    counts.set(of, n + 1);
    return list[Math.min(n, list.length - 1)];
  };
  const play = (chainId: string): Play => {
    const found = plays.get(chainId);
    if (found === undefined) throw new Error(`no play for ${chainId}`);
    return found;
  };
  const given = new Map<string, VerdictView[]>();
  const asked = new Map<string, ChainQuestion>();
  return {
    askPeople: async (question) => {
      const approvalId = `${question.chainId}/${question.key}`;
      asked.set(approvalId, question);
      return { approvalId };
    },
    readAnswer: async ({ approvalId }) => {
      const question = asked.get(approvalId)!;
      const { people } = play(question.chainId);
      const answer = people === undefined ? {} : people(question);
      return answer && { decision: "deny", by: "me", budget: false, maxRounds: 0, ...answer };
    },
    startRound: async () => undefined,
    finishChain: async () => undefined,
    openRoleSession: async ({ chainId, role, n }) => ({ workflowId: `${chainId}/${role}/${n}`, args: sessionArgs(chainId, `${role}-${n}`, queue()) }),
    recordChainInput: async ({ chainId, key }) => {
      if (play(chainId).full?.(key)) throw new Error("QUEUE_FULL");
      return { inputId: key.replaceAll("/", "_").slice(-60) };
    },
    // The chain's own ids are made of their keys; all others are as the play says.
    readOrigin: async ({ inputId }) => ({
      from: /(review|audit|findings)_\d|^(first|continue)$/.test(inputId) ? "chain" : agents.has(inputId) ? "agent" : "people",
      interrupts: inputId.startsWith("instead"),
    }),
    recordVerdict: async ({ chainId, sessionUlid, role, round, candidate: { tree } }) => {
      const decision = next<Answer | null>(sessionUlid, play(chainId).answers[sessionUlid.slice(chainId.length + 1)] ?? ["approved"]);
      if (decision === null || decision === undefined) return null;
      const verdict: VerdictView = { decision, score: decision === "approved" ? 90 : 40, findings: decision === "approved" ? 0 : 1, blockers: 0, tree };
      const key = `${chainId}/${round}/${role}`;
      given.set(key, [...(given.get(key) ?? []), verdict]);
      return verdict;
    },
    evaluateGates: async ({ chainId, round, tree, stage }) =>
      (stage === "review" ? ["reviewer"] : ["reviewer", "auditor"]).map((role) => {
        const verdicts = (given.get(`${chainId}/${round}/${role}`) ?? []).filter((v) => v.tree === tree);
        return { name: role, passed: verdicts.every((v) => v.decision === "approved"), why: `${verdicts.length} verdicts` };
      }),
    verifyCandidate: async ({ sessionUlid, tree }) => {
      const seen = next(`verify ${sessionUlid}`, play(sessionUlid.replace(/-executor$/, "")).unchanged ?? [true]) ?? true;
      if (seen === "busy") return { unchanged: false, tree, busy: true };
      if (typeof seen === "object") return { unchanged: false, tree: seen.made, candidate: candidate(seen.made) };
      return { unchanged: seen, tree: seen ? tree : "another" };
    },
    runTurn: async (a) => {
      const chainId = [...plays.keys()].find((id) => a.sessionUlid.startsWith(`${id}-`)) ?? "";
      const who = a.sessionUlid.slice(chainId.length + 1);
      const other = await play(chainId).turn?.(who, a);
      if (other !== undefined) return other;
      return done(a.turnId, who === "executor" ? { candidate: candidate(next(a.sessionUlid, play(chainId).trees) ?? "t") } : {});
    },
  };
}

function sessionArgs(chainId: string, who: string, queue: string) {
  return { sessionUlid: `${chainId}-${who}`, generation: 1, hostQueue: queue, chainWorkflowId: chainId, summary: who, beatTimeoutMs: 5_000, turnAttempts: 3 };
}
