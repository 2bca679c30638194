import { ApplicationFailure } from "@temporalio/common";
import { ulid } from "ulid";
import type { Config } from "../contracts/config.schema.ts";
import type { ChainActivities, InputOrigin, VerdictView } from "../contracts/messages.ts";
import type { ChainRow, InputRow, VerdictRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { configOf } from "./chain-config.ts";
import { againPrompt, auditPrompt, findingsPrompt, repairPrompt, reviewPrompt } from "./chain-prompts.ts";
import type { PromptFacts } from "./chain-prompts.ts";
import { effect, present } from "./failure.ts";
import { evaluate } from "./gates.ts";
import { effectiveDecision, parseVerdict } from "./parse-verdict.ts";
import { openRoleSession } from "./role-session.ts";
import { startWoken, type Waker } from "./start-woken.ts";

const prompts = { review: reviewPrompt, audit: auditPrompt, findings: findingsPrompt, repair: repairPrompt } as const;

/** Effects of the chain workflow. Each may run twice or at the same time as its twin: the rows decide. */
export function createChainActivities(deps: Waker & { config: Config }): ChainActivities {
  const { store, config } = deps;
  const chainOf = async (chainId: string): Promise<ChainRow> => present(await store.chains.get(chainId), `Chain ${chainId}`);
  return {
    openRoleSession: (a) => effect(() => openRoleSession(deps, a)),
    recordChainInput: ({ chainId, sessionUlid, key, kind, round, candidate, of }) =>
      effect(async () => {
        const chain = await chainOf(chainId);
        const asked = of ? present(await store.inputs.get(of.asked), `Input ${of.asked}`) : null;
        // A turn that nobody took has no input of its own name.
        const stopped = of ? ((await store.inputs.get(of.stopped)) ?? asked) : null;
        const prompt = kind === "again" ? againPrompt(stopped?.prompt ?? "") : prompts[kind](await promptFacts(store, chain, round, candidate ?? null));
        const requestId = `chain:${chainId}/${key}`;
        // The fingerprint is the key's alone: the prompt of a repeat may read newer rows, the first one stays.
        const { ids } = await store.recordRequest(
          { principal: chain.principal, scope: "chain-input", key: `${chainId}/${key}`, fingerprint: "chain-input.1" },
          { principal: chain.principal, actor: `chain:${chainId}`, action: `chain.${kind}`, target: sessionUlid, detail: { round } },
          async (tx) => {
            const checkout = asked?.checkout ?? (kind === "review" || kind === "audit" ? (candidate ?? null) : null);
            const { row } = await store.inputs.insert(tx, {
              inputId: ulid(),
              sessionUlid,
              prompt,
              delivery: "queue",
              source: "chain",
              requestId,
              checkout,
              limit: config.inputQueue,
            });
            return { inputId: row.inputId };
          },
        );
        return ids;
      }),
    recordVerdict: ({ chainId, sessionUlid, turnId, role, round, candidate }) =>
      effect(async () => {
        // Given through a door during the turn: that one counts, whatever the message says.
        const given = (await store.chains.verdicts(chainId)).filter((v) => v.sessionUlid === sessionUlid && v.turnId === turnId).at(-1);
        if (given !== undefined) return given.tree === candidate.tree ? view(given) : null;
        const turn = present(await store.turns.get(sessionUlid, turnId), `Turn ${turnId}`);
        const parsed = parseVerdict(turn.finalMessage ?? "");
        if (parsed === null) return null;
        return view(
          await store.chains.recordVerdict({
            chainId,
            sessionUlid,
            turnId,
            role,
            round,
            ...parsed,
            decision: effectiveDecision(parsed.decision, parsed.findings),
            tree: candidate.tree,
          }),
        );
      }),
    // The store writes the events of gates, rounds and ends in the transaction of the rows.
    evaluateGates: ({ chainId, round, tree, stage }) =>
      effect(async () => {
        const gates = evaluate(configOf(await chainOf(chainId)), await store.chains.verdicts(chainId), { round, tree, stage });
        await store.chains.setGates(chainId, gates);
        return gates;
      }),
    startRound: ({ chainId, round, candidate }) => effect(() => store.chains.setRound(chainId, round, candidate)),
    askPeople: (question) =>
      effect(async () => {
        const asked = await store.chainQuestions.ask(question);
        if (asked === null) throw ApplicationFailure.nonRetryable(`Chain ${question.chainId} is over`, "CHAIN_ENDED");
        return asked;
      }),
    readOrigin: ({ inputId }) =>
      effect(async () => {
        const input = await store.inputs.get(inputId);
        return { from: originOf(input), interrupts: input?.delivery === "interrupt" };
      }),
    readAnswer: ({ approvalId, withdraw }) => effect(() => (withdraw ? store.chainQuestions.withdraw(approvalId) : store.chainQuestions.answer(approvalId))),
    finishChain: ({ chainId, reason, why }) =>
      effect(async () => {
        await store.chains.finish(chainId, reason, why);
        for (const { sessionUlid } of await store.facts.list({ chainId, open: true, limit: 100 })) await startWoken(deps, sessionUlid);
      }),
  };
}

async function promptFacts(store: Store, chain: ChainRow, round: number, candidate: PromptFacts["candidate"]): Promise<PromptFacts> {
  const [task, verdicts] = await Promise.all([store.tasks.get(chain.taskKey), store.chains.verdicts(chain.chainId)]);
  return { task, taskKey: chain.taskKey, round, maxRounds: configOf(chain).maxRounds + chain.roundsAdded, candidate, verdicts, gates: chain.gates };
}

function view(v: VerdictRow): VerdictView {
  const decision = effectiveDecision(v.decision, v.findings);
  return { decision, score: v.score, findings: v.findings.length, blockers: v.findings.filter((f) => f.severity === "blocker").length, tree: v.tree };
}

function originOf(input: InputRow | null): InputOrigin["from"] {
  if (input?.source === "chain" || input?.requestId?.startsWith("budget:")) return "chain";
  return input?.source.startsWith("session:") ? "agent" : "people";
}
