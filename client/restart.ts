import { ulid } from "ulid";
import { BatonError } from "../contracts/failures.ts";
import type { Cursors, SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { busy, deliver, isBusy, nextPrompt, refuseSleep } from "./input.ts";
import { wakeFor } from "./input-there.ts";
import { checkPrompt } from "./launch-plan.ts";
import { findAnySession, findSession, noSession, record, requestKey, sourceOf, storedAnswer } from "./requests.ts";
import { launchedView, loadFacts, resumable } from "./session-view.ts";

export interface RestartArgs {
  clientRequestId: string;
  actor: string;
  sessionUlid?: string;
  /** the agent's own conversation */
  providerSessionId?: string;
  prompt?: string;
  /** default true */
  run?: boolean;
}

type RestartIds = { sessionUlid: string; inputId: string | null; generation: number; resumed: "native" | "transcript"; cursors?: Cursors };

/**
 * Lets a session go on: a closed one as its next generation in the same workspace and conversation, an idle one as `run` does.
 * Errors: CONFLICT_STATE while a turn runs, NOT_FOUND for an unknown conversation, INVALID_ARGUMENT when both are given and do not agree.
 */
export async function restart(deps: Deps, caller: Caller, args: RestartArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  // Before what the references mean: since then the agent may have got another conversation.
  const repeated = await storedAnswer<RestartIds>(store, requestKey(caller, "restart", { ...args }));
  const row = repeated ? await findAnySession(store, repeated.sessionUlid) : await asked(store, args);
  // A key outlives the purge, which takes the conversation that it was sent with.
  if (repeated && row.purge) return { ...repeated, purgedAt: row.purgedAt ?? row.purge.at, replayed: true };
  const before = await loadFacts(store, row);
  const prompt = args.prompt ?? nextPrompt(row, before);
  checkPrompt(prompt);
  if (!repeated) {
    // Of a closed session the inputs that wait are taken up by the generation that now begins.
    if (row.closedAt === null ? isBusy(before) || before.facts.approvals.some((approval) => !approval.ofChain) : false) throw busy(row, before, prompt);
    await refuseSleep(store, row);
  }
  const { ids, replayed } = await record<RestartIds>(store, caller, { action: "restart", args: { ...args }, target: row.sessionUlid }, async (tx) => {
    const cursors = await store.sessions.cursors(tx, row.sessionUlid);
    const woken = await wakeFor(deps, store, tx, caller, row.sessionUlid, prompt);
    // Under the session's lock: another restart, or an input, may have been faster.
    if (!woken && (await store.sessions.isBusy(tx, row.sessionUlid))) throw busy(row, before, prompt);
    const inputId = args.run === false ? null : ulid();
    if (inputId !== null) {
      const source = sourceOf(caller, { ...args });
      await store.inputs.insert(tx, {
        inputId,
        sessionUlid: row.sessionUlid,
        prompt,
        delivery: "queue",
        source,
        requestId: null,
        limit: deps.options.inputQueue,
      });
    }
    return {
      sessionUlid: row.sessionUlid,
      inputId,
      generation: woken?.generation ?? row.generation,
      resumed: resumable(before).how === "native" ? "native" : "transcript",
      cursors,
    };
  });
  if (ids.inputId !== null) await deliver(deps, store, ids.inputId);
  else await startWoken(deps, store, ids.sessionUlid);
  return answer(store, ids, replayed);
}

/** The session that both references mean. */
async function asked(store: Store, args: RestartArgs): Promise<SessionRow> {
  if (args.sessionUlid === undefined && args.providerSessionId === undefined)
    throw new BatonError("INVALID_ARGUMENT", "Give sessionUlid or providerSessionId.", {
      field: "sessionUlid",
      example: { action: "restart", sessionUlid: "PROJ-42/executor-1" },
    });
  const named = args.sessionUlid === undefined ? null : await findSession(store, args.sessionUlid);
  if (args.providerSessionId === undefined) return named!;
  if (named && named.providerSessionId === args.providerSessionId) return named;
  const found = await store.facts.byThread(args.providerSessionId);
  if (!found) throw noSession(args.providerSessionId, "providerSessionId");
  if (named && named.sessionUlid !== found.sessionUlid)
    throw new BatonError("INVALID_ARGUMENT", `Conversation "${args.providerSessionId}" is session ${found.name}'s, not ${named.name}'s: give one of the two.`, {
      field: "providerSessionId",
      allowed: named.providerSessionId,
    });
  return named ?? findSession(store, found.sessionUlid);
}

/** Without an input nobody else would start the generation. */
async function startWoken(deps: Deps, store: Store, sessionUlid: string): Promise<void> {
  const row = await findSession(store, sessionUlid);
  if (row.closedAt === null && row.startedAt === null && row.generation > 1) await deps.starter.session(row);
}

async function answer(store: Store, ids: RestartIds, replayed: boolean): Promise<Record<string, unknown>> {
  const found = await loadFacts(store, ids);
  const { row } = found;
  const cursors = ids.cursors ?? { events: row.lastSeq, deltas: row.lastDelta };
  return {
    ...launchedView(found),
    generation: ids.generation,
    resumed: ids.resumed,
    providerSessionId: row.providerSessionId,
    ...(ids.inputId === null ? {} : { inputId: ids.inputId, turnId: ids.inputId }),
    cursors,
    nextSeq: cursors.events,
    ...(replayed ? { replayed: true } : {}),
  };
}
