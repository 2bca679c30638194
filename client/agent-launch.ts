import { BatonError } from "../contracts/failures.ts";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import type { Lineage } from "../store/lineage.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store, Tx } from "../store/store.ts";
import type { Caller } from "./caller.ts";
import type { Deps } from "./deps.ts";
import type { LaunchArgs } from "./launch-plan.ts";
import { denied, isUnlimited } from "./no-wider.ts";
import { noSession } from "./requests.ts";

/** The session whose agent launches; null: a person or a program does. Error: NOT_FOUND when it was purged meanwhile. */
export async function launcherOf(store: Store, caller: Caller): Promise<SessionRow | null> {
  if (caller.session === undefined) return null;
  const row = await store.sessions.get(caller.session);
  if (row) return row;
  throw noSession(caller.session);
}

/**
 * An agent's arguments with what it may leave out: what is no task is in its own repository; the base is its own tree unless it names another
 * (`self`, `parent`, a session's ULID). `baseOf`: the session whose tree, as it is when the workspace is made, is the base.
 * Errors: PERMISSION_DENIED for what no agent sets, NOT_FOUND for a session that it does not reach.
 */
export async function agentsArgs(store: Store, launcher: SessionRow, args: LaunchArgs): Promise<{ args: LaunchArgs; baseOf: string | null }> {
  mustNotSet(launcher, args);
  const { baseRef, ...worktree } = args.worktree ?? {};
  const named = baseRef === undefined ? launcher.sessionUlid : await sessionOfBase(store, launcher, baseRef);
  const given = named === null ? args : { ...args, worktree };
  return { args: await withRepository(store, launcher, given), baseOf: named };
}

/** Counts depth, fan-out, launches and the tree's budget in the launch's own transaction. Error: LIMIT_EXCEEDED with `field`, `used`, `allowed`. */
export async function countLaunch(deps: Deps, store: Store, tx: Tx, launcher: SessionRow): Promise<void> {
  const used = await store.sessions.lineage(tx, launcher.sessionUlid);
  if (!used) throw noSession(launcher.sessionUlid);
  const { agentDepth = 3, agentChildren = 8, agentLaunches = 50 } = deps.options;
  exceeds("depth", used.depth + 1, agentDepth, "levels of launches below the session at the top: do the work yourself");
  exceeds("children", used.openChildren + 1, agentChildren, openAtOnce);
  exceeds("launches", used.launches + 1, agentLaunches, "launches by one session: give more to do to those that are there, with input");
  withinBudget(used);
}

/** What an agent asks of a session that is there takes from the tree's budget as a launch does. Error: LIMIT_EXCEEDED. */
export async function countWork(store: Store, tx: Tx, caller: Caller, sessionUlid: string): Promise<void> {
  const used = caller.session === undefined ? null : await store.sessions.lineage(tx, sessionUlid);
  if (used) withinBudget(used);
}

/** A session that an agent has woken is open as a launched one is. Error: LIMIT_EXCEEDED. */
export async function countWoken(deps: Deps, store: Store, tx: Tx, caller: Caller, woken: SessionRow): Promise<void> {
  const used = caller.session === undefined || woken.parentUlid === null ? null : await store.sessions.lineage(tx, woken.parentUlid);
  if (used) exceeds("children", used.openChildren, deps.options.agentChildren ?? 8, openAtOnce);
}

const openAtOnce = "sessions open at once: close one that is done";

function withinBudget(used: Lineage): void {
  if (used.costLimit !== null) reached("costMicros", used.costMicros, used.costLimit);
  if (used.tokenLimit !== null) reached("tokens", used.tokens, used.tokenLimit);
}

function exceeds(field: string, wanted: number, allowed: number, what: string): void {
  if (wanted <= allowed) return;
  throw new BatonError("LIMIT_EXCEEDED", `An agent may have ${allowed} ${what}.`, { field, used: wanted - 1, allowed });
}

function reached(field: string, used: number, allowed: number): void {
  if (used < allowed) return;
  throw new BatonError(
    "LIMIT_EXCEEDED",
    `The budget of the session at the top is used up (${field}: ${used} of ${allowed}): nothing more is launched or asked for below it.`,
    {
      field,
      used,
      allowed,
    },
  );
}

function mustNotSet(launcher: SessionRow, args: LaunchArgs): void {
  const { env: own = [], permissions, tools } = launcher.args["effective"] as EffectiveLaunch;
  if (args.bootstrapCommands?.length) throw denied("bootstrapCommands", "Bootstrap commands are an operator's alone, never an agent's.");
  for (const field of ["command", "wrapper"] as const)
    if (args.config?.[field]) throw denied(`config.${field}`, `An agent does not choose config.${field}: take a preset that has it.`);
  // A scripted agent runs the lines of its scenario and asks nobody.
  if (args.config?.scenario !== undefined && !(isUnlimited(permissions) && tools === undefined))
    throw denied("config.scenario", "This agent may not do everything unasked, and a scenario does: take a preset that has it.");
  for (const one of [...(args.env ?? []), ...(args.config?.env ?? [])])
    if (!own.some((mine) => mine.valueRef === one.valueRef))
      throw denied(
        "env",
        "An agent passes on only those references that it was given itself.",
        own.map((mine) => mine.valueRef),
      );
  if (args.worktree?.disabled) throw denied("worktree.disabled", "What an agent launches works in a worktree of its own.");
  if (args.parentUlid !== undefined && args.parentUlid !== launcher.sessionUlid)
    throw denied("parentUlid", "What an agent launches is below its own session.", "self");
}

/** Null: `baseRef` is git's to resolve. */
async function sessionOfBase(store: Store, launcher: SessionRow, baseRef: string): Promise<string | null> {
  if (baseRef === "self") return launcher.sessionUlid;
  const isUlid = /^[0-9A-HJKMNP-TV-Z]{26}$/i.test(baseRef);
  if (baseRef !== "parent" && !isUlid) return null;
  const reached = await store.reach.session({ session: launcher.sessionUlid }, isUlid ? { ulid: baseRef.toUpperCase() } : { parent: true });
  if (reached) return reached.sessionUlid;
  throw noSession(baseRef, "worktree.baseRef");
}

async function withRepository(store: Store, launcher: SessionRow, args: LaunchArgs): Promise<LaunchArgs> {
  if (args.contextRef === undefined || args.repositoryPath !== undefined || (await store.tasks.get(args.taskKey))) return args;
  return { ...args, repositoryPath: launcher.repositoryPath };
}
