import type { ChainConfig, ChainRole } from "../contracts/chain-config.ts";
import { BatonError } from "../contracts/failures.ts";
import type { SessionArgs } from "../contracts/messages.ts";
import type { Deps } from "./deps.ts";
import { effectiveLaunch } from "./effective-launch.ts";
import { type ChainMember, type ChainRequest, findPreset } from "./launch-plan.ts";

/** The roles of a chain, each with its preset resolved. Errors: NOT_FOUND, PROVIDER_UNAVAILABLE, INVALID_ARGUMENT. */
export async function planChain(deps: Deps, chain: ChainRequest): Promise<Omit<ChainConfig, "args">> {
  const reviewers = await Promise.all((chain.reviewers ?? []).map((member) => role(deps, member)));
  const auditor = chain.auditor ? await role(deps, chain.auditor) : null;
  const asked = chain.gates?.reviews?.quorum ?? "all";
  const quorum = asked === "all" ? reviewers.length : asked;
  if (quorum > reviewers.length)
    throw new BatonError("INVALID_ARGUMENT", `A quorum of ${quorum} cannot be reached by ${reviewers.length} reviewers.`, {
      field: "chain.gates.reviews.quorum",
      allowed: reviewers.length,
    });
  const audit = auditor === null || chain.gates?.audit === null ? null : { minScore: chain.gates?.audit?.minScore ?? 80 };
  return { reviewers, auditor, maxRounds: chain.maxRounds ?? 3, gates: { reviews: { quorum, minScore: chain.gates?.reviews?.minScore ?? 90 }, audit } };
}

async function role(deps: Deps, member: ChainMember): Promise<ChainRole> {
  const preset = await findPreset(deps, member.launcherConfigKey);
  const effective = await effectiveLaunch(preset, {}, deps.options.searchPath);
  return {
    agentHandle: (member.agentHandle ?? preset.key).replace(/^@/, ""),
    launcherConfigKey: preset.key,
    provider: preset.providerType,
    presetRevision: preset.revision,
    presetSha256: preset.sha256,
    effective,
    permissions: preset.permissions,
  };
}

/** The whole configuration, once the executor's session has its row. */
export function chainConfig(
  roles: Omit<ChainConfig, "args">,
  a: { chainId: string; workflowId: string; taskKey: string; executor: SessionArgs; turnDeadlineSeconds: number },
): ChainConfig {
  return {
    ...roles,
    args: {
      chainId: a.chainId,
      taskKey: a.taskKey,
      executor: { ...a.executor, chainWorkflowId: a.workflowId },
      reviewers: roles.reviewers.length,
      auditor: roles.auditor !== null,
      maxRounds: roles.maxRounds,
      turnDeadlineSeconds: a.turnDeadlineSeconds,
      hostQueue: a.executor.hostQueue,
      summary: `Chain for ${a.taskKey}`,
    },
  };
}
