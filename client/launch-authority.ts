import { BatonError } from "../contracts/failures.ts";
import { type Caller, hasScope } from "./caller.ts";

/** Commands that run on the host as Baton's user are the operator's to give. Error: PERMISSION_DENIED. */
export function mustBeOperator(caller: Caller, field: string): void {
  if (caller.session === undefined && hasScope(caller, "operator")) return;
  const why = caller.session === undefined ? "" : ", which no agent has";
  throw new BatonError("PERMISSION_DENIED", `${field} needs the scope "operator"${why}: put them in a preset.`, { field });
}
