import { BatonError } from "../contracts/failures.ts";
import type { SessionRow, TurnConfiguration } from "../store/rows.ts";
import type { StoredArgs } from "./start-workflow.ts";

type Mode = NonNullable<TurnConfiguration["mode"]>;

/** What each mode of a preset may be narrowed to. `ask` and `approve-reads` each allow something that the other does not. */
const narrower: Record<Mode, Mode[]> = {
  "approve-all": ["approve-all", "ask", "approve-reads", "deny-all"],
  ask: ["ask", "deny-all"],
  "approve-reads": ["approve-reads", "deny-all"],
  "deny-all": ["deny-all"],
};

/** Errors: INVALID_ARGUMENT when one turn's configuration would allow more than the session may; PERMISSION_DENIED for a model where the preset allows no overrides. */
export function checkConfiguration(row: SessionRow, configuration: TurnConfiguration | undefined): void {
  const { effective } = row.args as unknown as StoredArgs;
  const { mode, maxRuntimeSeconds, model } = configuration ?? {};
  if (effective.allowAdhocOverrides === false && model !== undefined && model !== effective.model)
    throw new BatonError("PERMISSION_DENIED", `Preset "${row.launcherConfigKey}" allows no overrides: leave configuration.model out.`, {
      field: "configuration.model",
      allowed: effective.model === undefined ? [] : [effective.model],
    });
  const allowed = narrower[effective.permissions.mode];
  if (mode !== undefined && !allowed.includes(mode))
    throw new BatonError(
      "INVALID_ARGUMENT",
      `configuration.mode "${mode}" would widen the session's permissions (${effective.permissions.mode}): a turn can only narrow them.`,
      {
        field: "configuration.mode",
        allowed,
      },
    );
  const wall = effective.limits?.wallSeconds;
  if (maxRuntimeSeconds !== undefined && wall !== undefined && maxRuntimeSeconds > wall)
    throw new BatonError("INVALID_ARGUMENT", `configuration.maxRuntimeSeconds ${maxRuntimeSeconds} is above the session's limit of ${wall}.`, {
      field: "configuration.maxRuntimeSeconds",
      allowed: wall,
    });
}
