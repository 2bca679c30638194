import { setCurrentDetails } from "@temporalio/workflow";
import type { ChainState } from "./chain-members.ts";

/** Shows where the chain is in Temporal's UI; costs no event. */
export function show(state: ChainState, phase: string): void {
  state.phase = phase;
  setCurrentDetails(
    [
      `**${phase}** · chain \`${state.args.chainId}\` for task \`${state.args.taskKey}\``,
      ...state.members.map((m) => `- ${m.role} \`${m.workflowId}\`${m.ended === null ? "" : " (ended)"}`),
    ].join("\n"),
  );
}
