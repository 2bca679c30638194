import { BatonError } from "../contracts/failures.ts";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import { isSessionPrincipal } from "../contracts/scopes.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store, Tx } from "../store/store.ts";
import { agentsArgs, launcherOf } from "./agent-launch.ts";
import { type Caller, viewerOf } from "./caller.ts";
import type { Deps } from "./deps.ts";
import { smaller } from "./effective-launch.ts";
import { inputThere } from "./input-there.ts";
import { planChain } from "./launch-chain.ts";
import { type LaunchArgs, type LaunchPlan, planLaunch } from "./launch-plan.ts";
import { mustNotWiden } from "./no-wider.ts";
import { supersedeIdle } from "./supersede.ts";

/** A launch that has nothing against it but what only its transaction can tell. */
export interface Checked {
  /** `told`: the session that hears of the new one's settling */
  plan: LaunchPlan & { told: string | null };
  roles: Awaited<ReturnType<typeof planChain>> | null;
  /** the session whose agent launches */
  launcher: SessionRow | null;
  /** the session whose tree is the base */
  baseOf: SessionRow | null;
}
/** All that can be refused before the transaction. */
export async function planChecked(deps: Deps, store: Store, caller: Caller, args: LaunchArgs, action: "launch_task" | "start"): Promise<Checked> {
  const launcher = await launcherOf(store, caller);
  const agents = launcher && (await agentsArgs(store, launcher, args));
  const limited = await limitsOf(store, launcher);
  const plan = limited(await planLaunch(deps, store, caller, agents?.args ?? args));
  if (args.chain && (action === "start" || args.run === false))
    throw new BatonError("INVALID_ARGUMENT", "A chain runs at once: leave run out.", { field: "run" });
  const planned = args.chain ? await planChain(deps, args.chain) : null;
  const roles = planned && { ...planned, reviewers: planned.reviewers.map(limited), auditor: planned.auditor && limited(planned.auditor) };
  if (launcher) mustNotWiden(launcher, [{ ...plan, field: "launcherConfigKey" }, ...(roles ? everyRole(roles) : [])], plan.workspace.repositoryPath);
  const base = agents?.baseOf ? await store.sessions.get(agents.baseOf) : null;
  const parent = launcher ?? plan.parent;
  if (args.onSettled && !parent)
    throw new BatonError("INVALID_ARGUMENT", "onSettled tells the session that launches: give its parentUlid, or leave onSettled out and wait.", {
      field: "onSettled",
    });
  return {
    plan: { ...plan, told: args.onSettled && parent ? parent.sessionUlid : null },
    roles,
    launcher,
    baseOf: base?.repositoryPath === plan.workspace.repositoryPath ? base : null,
  };
}

/** What an agent launches may use no more than itself, with what people have added since; what a person launches is as it is. */
async function limitsOf(store: Store, launcher: SessionRow | null): Promise<<T extends { effective: EffectiveLaunch }>(launched: T) => T> {
  const own = launcher && (await store.facts.get(launcher.sessionUlid))?.limits;
  return (launched) => (own ? { ...launched, effective: { ...launched.effective, limits: smaller(launched.effective.limits ?? {}, own) } } : launched);
}

function everyRole(roles: Awaited<ReturnType<typeof planChain>>): { effective: EffectiveLaunch; field: string }[] {
  const auditor = roles.auditor ? [{ ...roles.auditor, field: "chain.auditor" }] : [];
  return [...roles.reviewers.map((reviewer) => ({ ...reviewer, field: "chain.reviewers" })), ...auditor];
}

/** The next one goes on where the former one stopped, unless the caller says where to start; an agent's launch at the tree it named. */
export function baseFor(plan: LaunchPlan, superseded: SessionRow | null, baseOf: SessionRow | null): string {
  return formerTree(plan, superseded) ?? baseOf?.candidate?.commit ?? baseOf?.headAtStart ?? plan.workspace.baseRef;
}

/** What the superseded session came to; of no use in another repository. */
function formerTree({ workspace }: LaunchPlan, superseded: SessionRow | null): string | undefined {
  if (workspace.baseAsked || superseded?.repositoryPath !== workspace.repositoryPath) return undefined;
  return superseded.candidate?.commit;
}

/** Nobody begins unasked with what an agent that is not below them, or somebody else, came to. Error: CONFLICT_STATE. */
function mustBeOwnWork(caller: Caller, { sessionUlid, name, owner, principal, contextRef }: SessionRow): void {
  // An agent takes the places of those below it only.
  if (caller.session !== undefined) return;
  const byAgent = isSessionPrincipal(principal);
  if (!byAgent && owner === caller.principal) return;
  throw new BatonError(
    "CONFLICT_STATE",
    `Session ${sessionUlid} (${name}) has this place on ${contextRef}, and was launched by ${byAgent ? "an agent" : `"${principal}"`}: launch with worktree.baseRef to say where to begin (its ULID: with its work), or close it first.`,
    {
      field: "worktree.baseRef",
      currentState: "IDLE",
      next: [{ tool: "pm_session", args: { action: "close", sessionUlid }, why: "end it, then launch again" }],
    },
  );
}

/** Closes an idle session in the way. Error: CONFLICT_STATE when it works, its work is not the caller's to go on with unasked, or another one works in the same repository itself. */
export async function makeRoom(store: Store, tx: Tx, plan: LaunchPlan, caller: Caller): Promise<SessionRow | null> {
  const viewer = viewerOf(caller);
  const open = viewer && (await store.sessions.openFor(tx, plan));
  // To take a place is to close who has it: only of one's own, and nothing is said of others.
  if (open && !(await store.reach.rules(tx, viewer, open.sessionUlid)))
    throw new BatonError("CONFLICT_STATE", `Another "${plan.agentHandle}" works on ${plan.contextRef} as ${plan.role}: launch with another agentHandle.`, {
      field: "agentHandle",
      currentState: "open",
    });
  const superseded = await supersedeIdle(store, tx, plan);
  if (superseded && formerTree(plan, superseded)) mustBeOwnWork(caller, superseded);
  const other = plan.workspace.branch === null ? await store.launches.inRepository(tx, plan.workspace.repositoryPath) : null;
  if (!other) return superseded;
  if (viewer && !(await store.reach.rules(tx, viewer, other.sessionUlid)))
    throw new BatonError("CONFLICT_STATE", `Another session works in ${plan.workspace.repositoryPath} itself, and only one may.`, {
      field: "worktree.disabled",
    });
  throw new BatonError(
    "CONFLICT_STATE",
    `Session ${other.sessionUlid} (${other.name}) works in ${plan.workspace.repositoryPath} itself, and only one may: send it an input, or close it first.`,
    {
      field: "worktree.disabled",
      currentState: "open",
      next: [
        ...inputThere(other.sessionUlid, plan.prompt.firstPrompt, "let it do this, too"),
        { tool: "pm_session", args: { action: "close", sessionUlid: other.sessionUlid }, why: "end it, then launch again" },
      ],
    },
  );
}
