import { ApplicationFailure } from "@temporalio/common";
import type { ChainConfig, ChainRole } from "../contracts/chain-config.ts";
import type { ChainRow } from "../store/rows.ts";

/** The chain's configuration. */
export function configOf(chain: ChainRow): ChainConfig {
  return chain.config as unknown as ChainConfig;
}

/** The configuration of the n-th (from 1) of a role. Error: a failure that is not retried. */
export function roleConfig(chain: ChainRow, role: "reviewer" | "auditor", n: number): ChainRole {
  const { reviewers, auditor } = configOf(chain);
  const found = role === "reviewer" ? reviewers[n - 1] : auditor;
  if (found === undefined || found === null) throw ApplicationFailure.nonRetryable(`Chain ${chain.chainId} has no ${role} ${n}`, "NOT_FOUND");
  return found;
}
