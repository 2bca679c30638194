import { ulid } from "ulid";
import type { Delivery } from "../contracts/event.ts";
import { BatonError } from "../contracts/failures.ts";
import { pmStatus, readyAnswers, sessionState } from "../contracts/session-status.ts";
import type { ApprovalRow, Cursors, InputRow, SessionRow, TurnConfiguration } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { inputThere, wakeFor } from "./input-there.ts";
import { checkPrompt } from "./launch-plan.ts";
import { actorOf, type Args, findSession, record, requestKey, sourceOf, storedAnswer } from "./requests.ts";
import { loadFacts, type SessionWithFacts } from "./session-view.ts";
import type { Starter, StoredArgs } from "./start-workflow.ts";
import { checkConfiguration } from "./turn-configuration.ts";

export interface InputArgs {
  sessionUlid: string;
  prompt: string;
  clientRequestId?: string;
  delivery?: Delivery;
  /** the message is the answer to this question or plan */
  approvalId?: string;
  actor?: string;
}
export interface RunArgs {
  sessionUlid: string;
  prompt?: string;
  /** for this turn only */
  configuration?: TurnConfiguration;
  clientRequestId?: string;
  actor?: string;
}
export interface InputAnswer {
  data: Record<string, unknown>;
  next: { tool: string; args: Record<string, unknown>; why: string }[];
}

/** Most inputs of one agent that wait for one session. */
const agentsShare = 10;

/** A type, not an interface: it must fit `Record<string, unknown>`. */
type InputIds = { inputId: string | null; approvalId: string | null; position: number; cursors?: Cursors };

/** Gives a session a message. With exactly one open question or plan and no `delivery`, the message is its answer; free text never grants a permission. */
export async function input(
  deps: Deps,
  caller: Caller,
  args: InputArgs & { configuration?: TurnConfiguration },
  action: "input" | "run" = "input",
  sent: Args = { ...args },
): Promise<InputAnswer> {
  checkPrompt(args.prompt);
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  if (args.delivery === "steer") {
    const repeat = (delivery: string, why: string) => ({
      tool: "pm_session",
      args: { action: "input", sessionUlid: row.sessionUlid, prompt: args.prompt, delivery },
      why,
    });
    throw new BatonError("UNSUPPORTED_BY_PROVIDER", `${row.provider} agents take no message in the middle of a turn.`, {
      field: "delivery",
      allowed: ["queue", "interrupt"],
      next: [repeat("queue", "after the turn"), repeat("interrupt", "end the turn, then this")],
    });
  }
  // What its chain asks holds no message up.
  const open = (await store.approvals.list({ sessionUlid: row.sessionUlid, state: "open", limit: 50 })).filter((approval) => approval.chainId === null);
  const question = args.approvalId === undefined ? (args.delivery === undefined ? onlyQuestion(open) : null) : await questionOf(store, row, args.approvalId);
  const refused = await refuseSleep(store, row).then(
    () => null,
    (error: unknown) => error,
  );
  const delivery = args.delivery ?? "queue";
  const { ids, replayed } = await record<InputIds>(store, caller, { action, args: sent, target: row.sessionUlid }, async (tx) => {
    const actor = actorOf(caller, { ...args });
    const cursors = await store.sessions.cursors(tx, row.sessionUlid);
    if (question) {
      const { applied } = await store.approvals.answer(tx, { approvalId: question.approvalId, decision: args.prompt, by: caller.principal, actor });
      // Somebody else answered in between: then this is a message like any other, unless it was meant as that answer only.
      if (applied) return { inputId: null, approvalId: question.approvalId, position: 0, cursors };
      if (args.approvalId !== undefined)
        throw new BatonError("CONFLICT_STATE", `"${question.title}" has its answer already.`, { field: "approvalId", currentState: "answered" });
    }
    // Only now: the key of an earlier call is answered as it was.
    if (refused !== null) throw refused;
    // Also when it was open a moment ago: only under the session's lock one knows.
    await wakeFor(deps, store, tx, caller, row.sessionUlid, args.prompt);
    const inserted = await store.inputs.insert(tx, {
      inputId: ulid(),
      sessionUlid: row.sessionUlid,
      prompt: args.prompt,
      delivery,
      source: sourceOf(caller, { ...args }),
      requestId: null,
      configuration: args.configuration ?? null,
      // A full queue keeps no person from ending the turn: for that there is as much room again. And of each agent only so much waits.
      limit: deps.options.inputQueue * (delivery === "interrupt" && caller.session === undefined ? 2 : 1),
      ...(caller.session === undefined ? {} : { share: agentsShare }),
    });
    return { inputId: inserted.row.inputId, approvalId: null, position: inserted.position, cursors };
  });
  if (ids.inputId !== null) await deliver(deps, store, ids.inputId);
  return answer(store, row.sessionUlid, ids, delivery, open, replayed);
}

/** Asks for a turn. Without a prompt: the one that the launch composed, else "Continue." Errors: CONFLICT_STATE while a turn runs, INVALID_ARGUMENT for a configuration that is wider than the session's. */
export async function run(deps: Deps, caller: Caller, args: RunArgs): Promise<InputAnswer> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  const found = await loadFacts(store, row);
  const prompt = args.prompt ?? nextPrompt(row, found);
  // A repeat is answered as it was, whatever runs now.
  const repeated = await storedAnswer(store, requestKey(caller, "run", { ...args }));
  if (!repeated) {
    if (isBusy(found)) throw busy(row, found, prompt);
    checkConfiguration(row, args.configuration);
  }
  const result = await input(deps, caller, { ...args, prompt, delivery: "queue" }, "run", { ...args });
  return { ...result, data: { ...result.data, turnId: result.data["inputId"], ...(repeated ? {} : { status: "RUNNING" }) } };
}

/** What a turn without a prompt of its own is asked. */
export const nextPrompt = (row: SessionRow, found: SessionWithFacts): string =>
  (found.row.turns.total === 0 ? (row.args as unknown as StoredArgs).firstPrompt : undefined) ?? "Continue.";

/** Does a turn run, or wait to? */
export const isBusy = ({ facts, pending }: SessionWithFacts): boolean => pending.length > 0 || (facts.turn !== null && facts.turn.state !== "done");

/** CONFLICT_STATE with a ready `input`. */
export function busy(row: SessionRow, { facts }: SessionWithFacts, prompt: string): BatonError {
  return new BatonError("CONFLICT_STATE", "A turn runs or is about to: send an input, it is taken up after it.", {
    currentState: sessionState(facts).state,
    next: inputThere(row.sessionUlid, prompt, "queue it"),
  });
}

/** Refuses what cannot be woken. Read before the transaction: one that waits for a second connection could starve the pool. */
export async function refuseSleep(store: Store, row: SessionRow): Promise<void> {
  if (row.closedAt === null) return;
  if (row.workspace === "failed")
    throw new BatonError("CONFLICT_STATE", "The session's workspace could not be made, it cannot go on: launch a new one.", { currentState: "failed" });
  const chain = row.chainId ? await store.chains.get(row.chainId) : null;
  if (chain?.state === "open")
    throw new BatonError("CONFLICT_STATE", `The session belongs to chain ${chain.chainId}, which is still open.`, { currentState: "closed" });
}

/** Tells the workflow of a recorded input, once; starts the generation when nobody has. */
export async function deliver(deps: Pick<Deps, "starter">, store: Store, inputId: string): Promise<void> {
  const given = await store.inputs.get(inputId);
  if (!given || given.state !== "recorded") return;
  const row = await store.sessions.get(given.sessionUlid);
  if (!row || row.closedAt !== null) return;
  if (row.startedAt === null && (row.chainId === null || row.generation > 1)) await deps.starter.session(row);
  // Also after our own start: the generation's first input may be another's.
  await tell(deps.starter, store, given, row);
  if (given.delivery === "interrupt") await store.hosts.post(null, { hostId: row.hostId, kind: "poke", sessionUlid: row.sessionUlid, body: {} });
}

/** Temporal keeps a Signal that it took. One that is sent twice, because nobody noted the first, is harmless: the workflow dedupes. */
export async function tell(
  starter: Starter,
  store: Store,
  { inputId, delivery, signalledTo }: InputRow,
  { workflowId, generation }: SessionRow,
): Promise<void> {
  if (signalledTo === generation) return;
  if (await starter.signal(workflowId, "input", { inputId, delivery })) await store.inputs.signalled(inputId, generation);
}

async function answer(store: Store, sessionUlid: string, ids: InputIds, delivery: Delivery, open: ApprovalRow[], replayed: boolean): Promise<InputAnswer> {
  const [{ row: now, facts }, given] = await Promise.all([loadFacts(store, { sessionUlid }), ids.inputId === null ? null : store.inputs.get(ids.inputId)]);
  // An interrupt ends what the agent asks; only a used-up limit stops what comes after it, too. And what a turn has taken waits for nobody.
  const before = delivery === "interrupt" ? open.filter((approval) => approval.kind === "budget") : open;
  const waits = ids.approvalId === null && before.length > 0 && (given?.state === "recorded" || given?.state === "accepted");
  // As they were before it: what it causes lies behind them, however late this is asked. (A key of an older Baton has none.)
  const cursors = ids.cursors ?? { events: now.lastSeq, deltas: now.lastDelta };
  const next = waits
    ? before.flatMap((approval) => readyAnswers(approval).map((call) => ({ ...call, why: `${call.why}: ${approval.title.slice(0, 200)}` })))
    : [];
  const data = {
    sessionUlid,
    inputId: ids.inputId ?? ids.approvalId,
    delivery: ids.approvalId ? "answer" : delivery,
    state: ids.approvalId ? "answered" : waits ? "waiting_for_approval" : (given?.state ?? "recorded"),
    ...(ids.approvalId ? { approvalId: ids.approvalId } : { position: ids.position }),
    ...(given?.turnId ? { turnId: given.turnId } : {}),
    status: pmStatus(sessionState(facts).state),
    baselineSeq: cursors.events,
    cursors,
    ...(replayed ? { replayed: true } : {}),
  };
  return { data, next };
}

/** Errors: NOT_FOUND, INVALID_ARGUMENT for what no text may answer. */
async function questionOf(store: Store, row: SessionRow, approvalId: string): Promise<ApprovalRow> {
  const found = await store.approvals.get(approvalId);
  if (found?.sessionUlid !== row.sessionUlid)
    throw new BatonError("NOT_FOUND", `Session ${row.name} has no approval "${approvalId}".`, { field: "approvalId" });
  if (found.kind === "question" || found.kind === "plan") return found;
  throw new BatonError("INVALID_ARGUMENT", `"${found.title}" is a ${found.kind}: text never answers that, respond does.`, {
    field: "approvalId",
    next: readyAnswers(found),
  });
}

function onlyQuestion(open: ApprovalRow[]): ApprovalRow | null {
  const [first, second] = open;
  return first && !second && (first.kind === "question" || first.kind === "plan") ? first : null;
}
