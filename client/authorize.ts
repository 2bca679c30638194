import { BatonError } from "../contracts/failures.ts";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import type { Scope } from "../contracts/scopes.ts";
import { storableText } from "../contracts/storable-text.ts";
import { withoutTokens } from "../contracts/token-secret.ts";
import type { Reached, SessionReference, Viewer } from "../store/reach.ts";
import type { Store } from "../store/store.ts";
import { type Caller, hasScope, viewerOf } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { isUnlimited } from "./no-wider.ts";
import { actorOf, type Args, chainOf, isChain, isUlid, noSession } from "./requests.ts";

/** What is called, as far as it matters here. */
export interface Called {
  tool: string;
  action: string;
  scope: Scope;
}

/** Arguments that name a session, whatever the action. */
const sessionFields = ["sessionUlid", "sourceSessionUlid", "sessionUlidToAudit", "scoredSessionUlid", "auditorSessionUlid", "rootUlid", "parentUlid"];

/** Where a chain's id may stand for a session's: these mean the chain, */
const ofChain = new Set(["get", "wait", "approvals"]);
/** and these the executor, whose log and tree are the chain's. */
const ofExecutor = new Set(["events", "tree"]);

/** Of the other sessions of its task an agent sees these, of its parent `get`; everything of its own subtree. */
const siblingActions = new Set(["list", "get", "events", "diff", "prompt", "spec"]);
/** Reads that are narrowed to what the caller reaches. */
const narrowed: Record<string, "seen" | "subtree"> = {
  "pm_session.list": "seen",
  "pm_session.approvals": "subtree",
  "pm_session.tree": "subtree",
  "pm_session.wait": "subtree",
  "pm_task.list": "seen",
};
/** On its own task an agent does the work; what the work is, and when it is good, others say. */
const notOnOwnTask = new Set(["update", "delete", "merge"]);

/**
 * The one place that decides whether a caller may do this to that (DESIGN section 10). Returns the arguments with `self`, `parent` and names
 * replaced by ULIDs, and `reach` for reads that are narrowed. The local operator's pass unread, but for the case of a chain's id.
 * Errors: NOT_FOUND for what the caller does not reach, in the words of what is not there; PERMISSION_DENIED with the scope that is missing.
 */
export async function authorize(deps: Deps, caller: Caller, called: Called, sent: Args): Promise<Args> {
  const viewer = viewerOf(caller);
  const chainId = sent["chainId"];
  const args = typeof chainId === "string" && isUlid(chainId) ? { ...sent, chainId: chainId.toUpperCase() } : sent;
  // Reach before scope: to whom something does not exist, nothing is said about what it would take.
  const resolved = viewer === null ? args : await resolve(await deps.getStore(), viewer, called, args);
  if (!hasScope(caller, called.scope))
    throw new BatonError("PERMISSION_DENIED", `This token has no scope "${called.scope}", which ${called.action} needs: ask whoever gave you the token.`, {
      field: "scope",
      allowed: caller.scopes,
    });
  actorOf(caller, args);
  return resolved;
}

/** An audit row of a call that would have changed something and was refused. Best effort: the refusal is the answer, whatever becomes of its row. */
export async function auditRefusal(deps: Deps, caller: Caller, called: Called, args: unknown, error: unknown): Promise<void> {
  if (called.scope === "session:read" || !(error instanceof BatonError) || error.code === "UNAVAILABLE") return;
  const sent = (typeof args === "object" && args !== null ? args : {}) as Args;
  const target = ["sessionUlid", "approvalId", "chainId", "taskKey", "contextRef", "key"].map((name) => sent[name]).find((value) => typeof value === "string");
  const actor = sent["actor"] ?? sent["actorHandle"] ?? caller.actor ?? caller.principal;
  const shown = (text: unknown) => storableText(withoutTokens(String(text)).slice(0, 200));
  await (
    await deps.getStore()
  )
    .recordRefusal({
      principal: caller.principal,
      actor: shown(actor).replace(/^@/, ""),
      action: called.tool === "pm_session" ? called.action : `${called.tool.replace(/^pm_/, "")}.${called.action}`,
      target: target === undefined ? null : shown(target),
      outcome: error.code,
    })
    .catch(() => undefined);
}

async function resolve(store: Store, viewer: Viewer, called: Called, args: Args): Promise<Args> {
  const found: Args = { ...args };
  const narrow = narrowed[`${called.tool.replace(/_read$/, "")}.${called.action}`];
  for (const field of sessionFields) {
    if (typeof args[field] !== "string") continue;
    const named = await resolveSession(store, viewer, called, field, args[field]);
    found[field] = named.sessionUlid;
    // To end its turn is to abort it, which the other side of its task does not.
    if (called.action === "input" && named.relation === "sibling" && ![undefined, "queue"].includes(args["delivery"] as string | undefined))
      throw new BatonError("PERMISSION_DENIED", "To another session of its task an agent's messages wait their turn: leave delivery out.", {
        field: "delivery",
        allowed: ["queue"],
      });
    // Without a delivery a message may be the answer to what is asked there: that is for whoever is above.
    if (called.action === "input" && (named.relation === "self" || named.relation === "sibling")) found["delivery"] ??= "queue";
  }
  if (Array.isArray(args["sessionUlids"])) {
    const named = (args["sessionUlids"] as string[]).slice(0, 50);
    found["sessionUlids"] = await Promise.all(
      named.map(async (reference) => (await resolveSession(store, viewer, called, "sessionUlids", reference)).sessionUlid),
    );
  }
  if (typeof args["cursors"] === "object" && args["cursors"] !== null)
    found["cursors"] = Object.fromEntries(
      await Promise.all(
        Object.entries(args["cursors"]).map(async ([reference, seq]) => [(await resolveSession(store, viewer, called, "cursors", reference)).sessionUlid, seq]),
      ),
    );
  // Processes of everybody's sessions.
  if (called.tool === "pm_health") delete found["detail"];
  if (typeof args["providerSessionId"] === "string") {
    // The very session that `restart` takes: the one that is named, when the conversation is its own, else the newest that has it.
    const thread = args["providerSessionId"];
    const named = typeof found["sessionUlid"] === "string" ? await store.sessions.get(found["sessionUlid"]) : null;
    const taken = named?.providerSessionId === thread ? named : await store.facts.byThread(thread);
    const reached = taken && (await store.reach.session(viewer, { ulid: taken.sessionUlid }));
    // Nobody's: a repeat may be about a conversation that is gone. `restart` knows its key, or says the same.
    if (taken && (!reached || !may(reached, called))) throw noSession(thread, "providerSessionId");
  }
  if (typeof args["chainId"] === "string") await mustReachChain(store, viewer, called, args["chainId"]);
  if (typeof args["approvalId"] === "string") await mustReachApproval(store, viewer, called, args, args["approvalId"]);
  if (typeof args["taskKey"] === "string" && !narrow) await mustReachTask(store, viewer, called, args, args["taskKey"]);
  // The task of a `start` is named by its context, as the registry reads it.
  if (`${called.tool}.${called.action}` === "pm_session.start" && typeof args["contextRef"] === "string")
    await mustReachTask(store, viewer, called, args, args["contextRef"].replace(/^TASK-/, ""), "contextRef");
  if (narrow) found["reach"] = "session" in viewer && narrow === "subtree" ? { ...viewer, subtree: true } : viewer;
  return found;
}

/** What the reference names. A chain's id stays one where the chain may be meant; elsewhere it is its executor, or refused with whom to name. */
async function resolveSession(
  store: Store,
  viewer: Viewer,
  called: Called,
  field: string,
  reference: string,
): Promise<Pick<Reached, "sessionUlid"> & Partial<Reached>> {
  const reached = await store.reach.session(viewer, referred(viewer, reference));
  if (reached && may(reached, called)) return reached;
  const chain = reached === null ? await chainOf(store, reference) : null;
  if (!chain) throw noSession(reference, field);
  await mustReachChain(store, viewer, called, chain.chainId, noSession(reference, field));
  if (field.startsWith("sessionUlid") && ofChain.has(called.action)) return { sessionUlid: chain.chainId };
  if (ofExecutor.has(called.action)) return resolveSession(store, viewer, called, field, chain.executorUlid);
  throw isChain(chain, field);
}

function referred(viewer: Viewer, reference: string): SessionReference {
  if ("session" in viewer && reference === "self") return { ulid: viewer.session };
  if ("session" in viewer && reference === "parent") return { parent: true };
  return isUlid(reference) ? { ulid: reference.toUpperCase() } : { name: reference };
}

function may({ relation, role, viewerRole }: Reached, called: Called): boolean {
  const { action } = called;
  if (relation === "owned" || relation === "self" || relation === "below") return true;
  // A filter of a list names a session and shows nothing of it.
  if (action === "list") return true;
  if (relation === "above") return action === "get";
  const talks = role !== viewerRole && [role, viewerRole].every((one) => one === "executor" || one === "reviewer");
  return siblingActions.has(action) || (action === "input" && talks);
}

/** A chain is its executor's session. Its own members look at it; who launched it does the rest. */
async function mustReachChain(store: Store, viewer: Viewer, called: Called, chainId: string, refusal = noChain(chainId)): Promise<void> {
  const chain = await store.chains.get(chainId);
  const reached = chain && (await store.reach.session(viewer, { ulid: chain.executorUlid }));
  if (!reached) throw refusal;
  const { relation } = reached;
  if (relation === "owned" || (relation === "below" && reached.viewerChainId !== chainId)) return;
  if (called.scope === "session:read" && relation !== "above") return;
  throw refusal;
}

/** Answers are given by whoever is above: nobody grants anything to itself, and what widens a child's permissions is a person's to say. */
async function mustReachApproval(store: Store, viewer: Viewer, called: Called, args: Args, approvalId: string): Promise<void> {
  const refusal = new BatonError("NOT_FOUND", `There is no approval "${approvalId}".`, {
    field: "approvalId",
    next: [{ tool: "pm_session", args: { action: "approvals", state: "open" }, why: "the open ones" }],
  });
  const approval = await store.approvals.get(approvalId);
  // A key outlives the purge that took the approval: `respond` answers what the caller stored under it, or refuses in the same words.
  if (!approval && called.action === "respond" && typeof args["clientRequestId"] === "string") return;
  if (!approval) throw refusal;
  if (approval.sessionUlid === null) return mustReachChain(store, viewer, called, approval.chainId ?? "", refusal);
  const reached = await store.reach.session(viewer, { ulid: approval.sessionUlid });
  if (reached?.relation === "owned") return;
  if (!reached || !("session" in viewer)) throw refusal;
  if (reached.relation === "self")
    throw new BatonError("PERMISSION_DENIED", "An agent does not answer what it asked itself: somebody above it does.", { field: "approvalId" });
  if (reached.relation !== "below") throw refusal;
  const own = await store.sessions.get(viewer.session);
  const permissions = (own?.args["effective"] as Partial<EffectiveLaunch> | undefined)?.permissions;
  // What its own rules or its workspace's bounds would ask a person, it does not answer for another.
  if (approval.kind === "permission" && !(permissions && isUnlimited(permissions)))
    throw new BatonError(
      "PERMISSION_DENIED",
      `This agent's own permissions are "${permissions?.mode}"${permissions?.mode === "approve-all" ? " within limits" : ""}: it grants none to others. Leave this one to a person.`,
      { field: "approvalId" },
    );
}

async function mustReachTask(store: Store, viewer: Viewer, called: Called, args: Args, taskKey: string, field = "taskKey"): Promise<void> {
  const found = await store.reach.task(viewer, taskKey);
  if (found === "hidden") throw new BatonError("NOT_FOUND", `There is no task ${taskKey}.`, { field });
  if (found !== "own") return;
  // A chain's gates are its launcher's to set: with none of them its approval would make the task verified.
  if (called.action === "launch_task" && args["chain"] !== undefined)
    throw new BatonError("PERMISSION_DENIED", "An agent does not judge the task that it works on: whoever launched it launches its chain.", {
      field: "chain",
    });
  if (called.tool !== "pm_task") return;
  if (notOnOwnTask.has(called.action))
    throw new BatonError("PERMISSION_DENIED", `An agent does not ${called.action} the task that it works on.`, { field: "action" });
  const allowed = ["in_progress", "in_review"];
  if (called.action === "change_status" && !allowed.includes(String(args["to"]).trim().toLowerCase()))
    throw new BatonError("PERMISSION_DENIED", `An agent moves its own task to ${allowed.join(" or ")}; the rest is its gates' to say.`, {
      field: "to",
      allowed,
    });
}

function noChain(chainId: string): BatonError {
  return new BatonError("NOT_FOUND", `There is no chain "${chainId}".`, { field: "chainId" });
}
