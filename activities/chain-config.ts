import { ApplicationFailure } from "@temporalio/common";
import type { ChainRow } from "../store/store.ts";

/** A reviewer or auditor as the client resolved it when the chain was recorded. */
export interface RoleConfig {
  agentHandle: string;
  launcherConfigKey: string;
  /** launch settings; copied into the session row's `args.effective` */
  effective: unknown;
  presetRevision: number;
  presetSha256: string;
  provider: string;
  permissions: unknown;
  systemPrompt?: string;
}

/** `chain.config`. Scores are 0–100. */
export interface ChainConfig {
  reviewers: RoleConfig[];
  auditor: RoleConfig | null;
  maxRounds: number;
  gates: { reviews: { quorum: number; minScore: number }; audit: { minScore: number } | null };
}

/** The chain's configuration. */
export function configOf(chain: ChainRow): ChainConfig {
  return chain.config as unknown as ChainConfig;
}

/** The configuration of the n-th (from 1) of a role. Error: a failure that is not retried. */
export function roleConfig(chain: ChainRow, role: "reviewer" | "auditor", n: number): RoleConfig {
  const { reviewers, auditor } = configOf(chain);
  const found = role === "reviewer" ? reviewers[n - 1] : auditor;
  if (found === undefined || found === null) throw ApplicationFailure.nonRetryable(`Chain ${chain.chainId} has no ${role} ${n}`, "NOT_FOUND");
  return found;
}
