import { isAbsolute } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { BatonError } from "../contracts/failures.ts";
import type { EffectiveLaunch, Permissions } from "../contracts/preset.ts";
import { agentScopes, type Scope } from "../contracts/scopes.ts";
import type { SessionRow } from "../store/rows.ts";

/** What a launch comes to, as far as it can be wider than the agent that asks for it. */
export type Launched = Pick<EffectiveLaunch, "permissions" | "wrapper" | "tools" | "agentScopes">;

/** Further right an agent may do more. */
const modes: Permissions["mode"][] = ["deny-all", "approve-reads", "ask", "approve-all"];
const outside: Permissions["outsideWorkspace"][] = ["deny", "ask", undefined];

/**
 * An agent gives to others at most what it has itself. `field`: the argument that asked; `bootstrap`: lines for the shell before the first turn.
 * What a preset's `env` refers to is not compared: the operator gave it to that preset, whoever launches it. Errors: PERMISSION_DENIED.
 */
export function mustNotWiden(launcher: SessionRow, launched: { effective: Launched; field: string; bootstrap?: string[] }[], repositoryPath: string): void {
  const own = launcher.args["effective"] as EffectiveLaunch;
  const scopes: readonly Scope[] = own.agentScopes ?? agentScopes;
  for (const { effective, field, bootstrap } of launched) {
    const wider = widerThan(own, effective);
    if (wider) throw denied(field, `${wider}: an agent launches nobody who may do more than itself. Take another preset.`);
    if (own.wrapper && !isDeepStrictEqual(effective.wrapper, own.wrapper))
      throw denied(field, "This agent runs inside a wrapper: it launches others only with presets that have the same one.", own.wrapper);
    if (!(effective.agentScopes ?? agentScopes).every((scope) => scopes.includes(scope)))
      throw denied(field, "That preset gives its agent more scopes than this agent has: take another preset.", scopes);
    // They run as Baton's user, before any wrapper, and ask nobody.
    if (bootstrap?.length && (own.wrapper || !isUnlimited(own.permissions)))
      throw denied(field, "That preset runs commands on the host, which this agent may not do unasked: take one without bootstrapCommands.");
  }
  const kept = keptInside(own);
  if (kept && repositoryPath !== launcher.repositoryPath)
    throw denied("repositoryPath", `This agent ${kept}: it launches others only in its own repository.`, launcher.repositoryPath);
}

/** What keeps an agent to its workspace: in another repository the same would let its child do what it may not. Null: it may go there itself, or ask to. */
function keptInside({ wrapper, permissions: { outsideWorkspace, rules } }: Launched): string | null {
  if (wrapper) return "runs inside a wrapper";
  if (outsideWorkspace) return "does not leave its workspace unasked";
  return rules?.some(({ pathGlob }) => pathGlob !== undefined && !isAbsolute(pathGlob)) ? "has rules for paths of its workspace" : null;
}

/** Nothing that it does would be asked of a person or refused. */
export function isUnlimited({ mode, rules, outsideWorkspace }: Permissions): boolean {
  return mode === "approve-all" && !rules?.length && outsideWorkspace === undefined;
}

export function denied(field: string, message: string, allowed?: unknown): BatonError {
  return new BatonError("PERMISSION_DENIED", message, { field, ...(allowed === undefined ? {} : { allowed }) });
}

function widerThan(own: Launched, other: Launched): string | null {
  const [mine, its] = [own.permissions, other.permissions];
  if (modes.indexOf(its.mode) > modes.indexOf(mine.mode)) return `That preset's permissions are "${its.mode}", this agent's own are "${mine.mode}"`;
  if (outside.indexOf(its.outsideWorkspace) > outside.indexOf(mine.outsideWorkspace))
    return "That preset lets its agent out of the workspace, and this agent's own does not";
  const onlyDenies = !mine.rules?.length && (its.rules ?? []).every((rule) => rule.decision === "deny");
  // The first rule that matches decides: what two lists have in common says little. One with an absolute path also lifts `outsideWorkspace`.
  if (!isUnlimited(mine) && !onlyDenies && !isDeepStrictEqual(its.rules ?? [], mine.rules ?? []))
    return "That preset's permission rules are others than this agent's own";
  if (own.tools && !other.tools?.every((tool) => own.tools?.includes(tool))) return `This agent may use only the tools ${own.tools.join(", ")}`;
  return null;
}
