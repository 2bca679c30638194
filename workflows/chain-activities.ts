import { patched, proxyActivities } from "@temporalio/workflow";
import { failureTypes } from "../contracts/failures.ts";
import type { ChainActivities, HostActivities } from "../contracts/messages.ts";
import { untilStopped } from "./chain-members.ts";
import type { ChainState } from "./chain-members.ts";
import { sending } from "./message-size.ts";

/** Database effects on the engine's queue; they wait for Postgres as long as it takes. */
export const records = sending(
  proxyActivities<ChainActivities>({
    startToCloseTimeout: "30s",
    retry: { initialInterval: "500ms", maximumInterval: "10s", nonRetryableErrorTypes: [failureTypes.sessionGone] },
  }),
);

/** Records what a session is asked next. Its queue may be full: a stop does not wait until it has room. */
export function recordInput(state: ChainState, input: Omit<Parameters<ChainActivities["recordChainInput"]>[0], "chainId">): Promise<{ inputId: string }> {
  return untilStopped(
    state,
    () => records.recordChainInput({ chainId: state.args.chainId, ...input }),
    () => patched("chain-stops-before-a-full-queue"),
  );
}

/** `verifyCandidate` on the executor's host. */
export function verifierOn(taskQueue: string): Pick<HostActivities, "verifyCandidate"> {
  return sending(
    proxyActivities<Pick<HostActivities, "verifyCandidate">>({
      taskQueue,
      startToCloseTimeout: "2m",
      summary: "is the candidate unchanged?",
      retry: { initialInterval: "1s", maximumInterval: "30s", nonRetryableErrorTypes: [failureTypes.sessionGone, failureTypes.workspaceFailed] },
    }),
  );
}
