import { BatonError } from "../contracts/failures.ts";
import { type Caller, hasScope } from "./caller.ts";

export const isAgent = (caller: Caller): boolean => caller.session !== undefined;

/** Commands that run on the host as Baton's user are the operator's to give. Error: PERMISSION_DENIED. */
export function mustBeOperator(caller: Caller, field: string): void {
  if (!isAgent(caller) && hasScope(caller, "operator")) return;
  throw new BatonError("PERMISSION_DENIED", `${field} needs the scope "operator"${isAgent(caller) ? ", which no agent has" : ""}: put them in a preset.`, {
    field,
  });
}
