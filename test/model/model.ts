import type { Delivery, Kind } from "./plan.ts";

/** What a door acknowledged, in the order in which it did. */
export type Fact =
  | { fact: "input"; inputId: string; kind: Kind; delivery: Delivery }
  /** `turnId`: the turn that the door said it aborts; null: nothing ran */
  | { fact: "abort"; turnId: string | null; dropQueue: boolean }
  | { fact: "close" }
  | { fact: "answer"; approvalId: string; decision: string; applied: boolean };

/** What rows and spools say about a session when it has come to rest. */
export interface Seen {
  /** sessions that the launch's key made */
  sessionsOfKey: number;
  closed: boolean;
  generation: number;
  inputs: { inputId: string; state: string; reason: string | null }[];
  /** `prompts`: how often a runner wrote that it gives the prompt to an agent */
  turns: { turnId: string; n: number; attempt: number; outcome: string | null; ends: number; prompts: number }[];
  approvals: { approvalId: string; state: string; decision: string | null; resolved: number }[];
}

/** How a turn may end when nobody touches it. */
const natural: Record<Kind, string[]> = {
  say: ["completed"],
  numbered: ["completed"],
  wait: ["completed"],
  poison: ["completed"],
  ask: ["completed"],
  exit: ["failed"],
  hang: [],
};

interface Expected {
  inputId: string;
  delivery: Delivery;
  kind: Kind;
  /** ends that are allowed: an outcome, `failed:<reason>`, or `pending` (recorded in a session that was closed before its turn came) */
  ends: Set<string>;
  /** an abort of this very turn, or one that empties the queue, may have cancelled it */
  named: boolean;
}

/** A session as the promises have it, without processes and time. `runnerKills`: how often the process that holds the agent was killed. */
export function differences(facts: Fact[], seen: Seen, runnerKills: number): string[] {
  const expected = expectations(facts, runnerKills);
  const ends = new Map(expected.map((one) => [one.inputId, endOf(one.inputId, seen)]));
  return [
    ...(seen.sessionsOfKey === 1 ? [] : [`${seen.sessionsOfKey} sessions of one key`]),
    ...lifecycle(facts, ends, seen),
    ...expected.flatMap((one) => oneEffect(one, ends.get(one.inputId) ?? "", seen)),
    ...seen.inputs.filter((input) => !ends.has(input.inputId)).map((input) => `input ${input.inputId} was never acknowledged`),
    ...seen.turns.filter((turn) => !ends.has(turn.turnId)).map((turn) => `turn ${turn.turnId} has no input`),
    ...cancels(facts, expected, ends),
    ...order(expected, seen),
    ...approvals(facts, seen),
  ];
}

/** Walks through the facts: each later one may widen what is allowed for the inputs before it. */
function expectations(facts: Fact[], runnerKills: number): Expected[] {
  const inputs: Expected[] = [];
  const widen = (which: (one: Expected) => boolean, ends: string[], named = false): void => {
    for (const one of inputs.filter(which)) {
      ends.forEach((end) => one.ends.add(end));
      one.named ||= named;
    }
  };
  for (const fact of facts) {
    if (fact.fact === "input") {
      // A turn that no keeper has yet is cancelled without one.
      if (fact.delivery === "interrupt") widen(() => true, ["interrupted", "failed:aborted"]);
      // What waited when the session was closed is taken up again by the input that wakes it.
      for (const one of inputs) one.ends.delete("pending");
      // A killed agent goes on behind the step that would have ended it.
      const ends = fact.kind === "exit" && runnerKills > 0 ? ["failed", "completed"] : natural[fact.kind];
      inputs.push({ ...fact, ends: new Set(ends), named: false });
    }
    if (fact.fact === "abort" && fact.turnId !== null) {
      widen((one) => one.inputId === fact.turnId, ["interrupted", "failed:aborted"], true);
      if (fact.dropQueue) widen((one) => one.inputId !== fact.turnId, ["failed:aborted"], true);
    }
    if (fact.fact === "close") widen(() => true, ["interrupted", "pending"]);
  }
  return inputs;
}

/**
 * A session is closed if nobody sent it anything after the last close, else open. Two ways are right when what was sent while it
 * closed was dropped, by an abort or by another close: that it woke for it, and that it did not.
 */
function lifecycle(facts: Fact[], ends: Map<string, string>, seen: Seen): string[] {
  const lastClose = facts.findLastIndex((fact) => fact.fact === "close");
  const after = lastClose === -1 ? [] : facts.slice(lastClose).filter((fact) => fact.fact === "input");
  const kept = after.filter((fact) => !ends.get(fact.inputId)?.startsWith("failed:"));
  const most = facts.filter((fact, at) => fact.fact === "close" && facts.slice(at).find((next) => next.fact !== "close")?.fact !== undefined).length;
  const wrong: string[] = [];
  if (lastClose === -1 && seen.closed) wrong.push("the session is closed, and nobody asked for that");
  if (lastClose !== -1 && after.length === 0 && !seen.closed) wrong.push("the session is open, and was closed last");
  if (kept.length > 0 && seen.closed) wrong.push(`the session is closed, and ${kept[0]?.inputId} was sent after its close`);
  if (seen.generation < (kept.length > 0 ? 2 : 1) || seen.generation > 1 + most)
    wrong.push(`generation ${seen.generation} after ${most} closes with something behind them`);
  return wrong;
}

function endOf(inputId: string, seen: Seen): string {
  const input = seen.inputs.find((one) => one.inputId === inputId);
  const turn = seen.turns.find((one) => one.turnId === inputId);
  if (!input) return "lost";
  if (turn) return turn.outcome ?? "a turn without an end";
  if (input.state === "failed") return `failed:${input.reason}`;
  return input.state === "recorded" || input.state === "accepted" ? "pending" : `${input.state} without a turn`;
}

function oneEffect(one: Expected, end: string, seen: Seen): string[] {
  const what = `input ${one.inputId} (${one.kind})`;
  const wrong = one.ends.has(end) ? [] : [`${what} came to "${end}", allowed: ${[...one.ends].join(", ") || "nothing"}`];
  const turns = seen.turns.filter((turn) => turn.turnId === one.inputId);
  if (turns.length > 1) wrong.push(`${what} had ${turns.length} turns`);
  for (const turn of turns) {
    const input = seen.inputs.find((row) => row.inputId === one.inputId);
    // An input whose turn was given up before an agent had it failed.
    const settled = turn.outcome === "interrupted" ? ["consumed", "failed"] : ["consumed"];
    if (turn.outcome !== null && !settled.includes(input?.state ?? "")) wrong.push(`${what} is ${input?.state} after its turn`);
    if (turn.outcome !== null && turn.ends !== 1) wrong.push(`${what}: its turn ended ${turn.ends} times`);
    // A prompt is given to an agent once an attempt, and to none only when the turn was cancelled before.
    if (turn.prompts > turn.attempt) wrong.push(`${what} was prompted ${turn.prompts} times in ${turn.attempt} attempts`);
    if (turn.outcome === "completed" && turn.prompts === 0) wrong.push(`${what} completed without a prompt`);
  }
  return wrong;
}

/** An interrupt and a close end one turn each, not more. */
function cancels(facts: Fact[], expected: Expected[], ends: Map<string, string>): string[] {
  const causes = facts.filter((fact) => fact.fact === "close" || (fact.fact === "input" && fact.delivery === "interrupt")).length;
  const cancelled = expected.filter((one) => !one.named && ["interrupted", "failed:aborted"].includes(ends.get(one.inputId) ?? ""));
  return cancelled.length <= causes ? [] : [`${cancelled.length} inputs were cancelled by ${causes} interrupts and closes`];
}

/** What waits its turn runs behind everything that was acknowledged before it. */
function order(expected: Expected[], seen: Seen): string[] {
  const place = new Map(seen.turns.map((turn) => [turn.turnId, turn.n]));
  const ran = expected.filter((one) => place.has(one.inputId));
  return ran.flatMap((later, at) =>
    later.delivery === "interrupt"
      ? []
      : ran
          .slice(0, at)
          .filter((earlier) => place.get(earlier.inputId)! > place.get(later.inputId)!)
          .map((earlier) => `input ${later.inputId} ran before ${earlier.inputId}, which was acknowledged earlier`),
  );
}

function approvals(facts: Fact[], seen: Seen): string[] {
  const answers = facts.filter((fact) => fact.fact === "answer");
  return seen.approvals.flatMap((row) => {
    const applied = answers.filter((one) => one.approvalId === row.approvalId && one.applied);
    const [first] = applied;
    if (applied.length > 1) return [`approval ${row.approvalId} took ${applied.length} answers`];
    if (row.resolved !== applied.length) return [`approval ${row.approvalId} has ${row.resolved} events for ${applied.length} answers`];
    if (!first) return ["open", "answered", "delivered"].includes(row.state) ? [`approval ${row.approvalId} is ${row.state} without an answer`] : [];
    return row.decision === first.decision && ["answered", "delivered"].includes(row.state)
      ? []
      : [`approval ${row.approvalId} is ${row.state} with "${row.decision}", the answer was "${first.decision}"`];
  });
}
