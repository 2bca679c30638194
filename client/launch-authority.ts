import { BatonError } from "../contracts/failures.ts";
import type { Preset } from "../contracts/preset.ts";
import { type Caller, hasScope } from "./caller.ts";
import type { LaunchArgs } from "./launch-plan.ts";

/**
 * What becomes a program or a secret of the host is the operator's to give, or its preset's. An agent's config and env are compared with what
 * it has itself (agent-launch.ts). Error: PERMISSION_DENIED.
 */
export function mustBeAllowed(caller: Caller, preset: Preset, args: LaunchArgs): void {
  if (args.bootstrapCommands?.length) mustBeOperator(caller, "bootstrapCommands");
  if (caller.session !== undefined) return;
  for (const field of ["command", "wrapper", "scenario"] as const) if (args.config?.[field] !== undefined) mustBeOperator(caller, `config.${field}`);
  for (const [field, env = []] of [
    ["config.env", args.config?.env],
    ["env", args.env],
  ] as const)
    if (env.some((one) => !preset.config.env?.some((own) => own.valueRef === one.valueRef))) mustBeOperator(caller, field);
}

/** Error: PERMISSION_DENIED. */
function mustBeOperator(caller: Caller, field: string): void {
  if (caller.session === undefined && hasScope(caller, "operator")) return;
  const why = caller.session === undefined ? "" : ", which no agent has";
  throw new BatonError("PERMISSION_DENIED", `${field} needs the scope "operator"${why}: leave it out, and take a preset that has it.`, { field });
}
