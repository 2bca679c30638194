import type { ChainArgs } from "./messages.ts";
import type { EffectiveLaunch, Preset } from "./preset.ts";

/** Who takes a role in a chain, with everything that opening its session needs: presets are read once, at the door. */
export interface ChainRole {
  agentHandle: string;
  launcherConfigKey: string;
  provider: string;
  presetRevision: number;
  presetSha256: string;
  effective: EffectiveLaunch;
  permissions: Preset["permissions"];
}

/** `ChainRow.config`: written by the door in the request's transaction, read by the chain's activities and the sweeper. Scores are 0–100. */
export interface ChainConfig {
  /** what the workflow is started with, by whoever starts it */
  args: ChainArgs;
  reviewers: ChainRole[];
  auditor: ChainRole | null;
  maxRounds: number;
  /** `quorum`: how many reviewers must approve */
  gates: { reviews: { quorum: number; minScore: number }; audit: { minScore: number } | null };
}
