import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { EventData, Usage } from "../contracts/event.ts";
import { followChain, patiently, type ChainAnswer } from "./follow-chain.ts";
import type { PmClient } from "../client/pm-client.ts";
import type { ScratchProject } from "./scratch-project.ts";
import { describeEvent, timelineLine } from "./timeline.ts";

/** What the demo came to; `--json` prints it. Times in ms, cost in millionths of a US dollar. */
export interface DemoResult {
  ok: boolean;
  taskKey: string;
  chainId: string;
  reason: string | null;
  rounds: number;
  elapsedMs: number;
  sessions: { role: string; sessionUlid: string }[];
  verdicts: (EventData["verdict.recorded"] & { role: string; atMs: number })[];
  gates: ChainAnswer["gates"];
  candidate: { commit: string; diffStat: string } | null;
  diff: string;
  check: { before: boolean; after: boolean; output: string };
  usage: Partial<Usage>;
  timeline: { atMs: number; role: string; type: string; text: string }[];
}

export interface DemoOptions {
  pm: PmClient;
  project: ScratchProject;
  print: (line: string) => void;
  signal: AbortSignal;
}

/** Executor, reviewer and auditor on a small bug, from the launch to the checked result. Aborting `signal` aborts what was started, then throws the signal's reason. */
export async function runDemo({ pm, project, print, signal }: DemoOptions): Promise<DemoResult> {
  const before = await project.check(project.base);
  const n = Date.now();
  const taskKey = `DEMO-${n}`;
  const startedAt = Date.now();
  signal.throwIfAborted();
  // Not cut by the signal: a launch whose answer is thrown away could not be aborted. The key makes a repeat the same launch.
  const launched = await patientLaunch(pm, taskKey, `DEMO${n}`, project.path);
  const chainId = String(launched["chainId"] ?? ""),
    sessionUlid = String(launched["sessionUlid"] ?? "");
  if (chainId === "") throw new Error("Baton started a session but no chain; the demo needs both.");
  print(timelineLine(Date.now() - startedAt, "baton", `task ${taskKey}, session ${sessionUlid}, chain ${chainId}`));

  const timeline: DemoResult["timeline"] = [],
    verdicts: DemoResult["verdicts"] = [];
  let candidate: EventData["candidate.captured"] | null = null;
  let chain: ChainAnswer;
  try {
    chain = await followChain(
      pm,
      chainId,
      ({ role, event }) => {
        const atMs = Math.max(0, Date.parse(event.at) - startedAt);
        if (event.type === "verdict.recorded") verdicts.push({ ...(event.data as EventData["verdict.recorded"]), role, atMs });
        if (event.type === "candidate.captured" && role === "executor") candidate = event.data as EventData["candidate.captured"];
        const text = describeEvent(event);
        if (text === null) return;
        timeline.push({ atMs, role, type: event.type, text });
        print(timelineLine(atMs, role, text));
      },
      signal,
    );
  } catch (error) {
    await abortStarted(pm, chainId, sessionUlid);
    signal.throwIfAborted();
    throw error;
  }

  const last = chain.candidate ?? candidate;
  const diff = last ? await project.git(["diff", "--no-ext-diff", "--no-color", project.base, last.commit]) : "";
  const after = last ? await project.check(last.commit) : { passed: false, output: "There is no candidate." };
  return {
    ok: chain.reason === "approved" && after.passed,
    taskKey,
    chainId,
    reason: chain.reason,
    rounds: chain.round,
    elapsedMs: Date.now() - startedAt,
    sessions: chain.sessions,
    verdicts: verdicts.sort((a, b) => a.atMs - b.atMs),
    gates: chain.gates ?? [],
    candidate: last ? { commit: last.commit, diffStat: last.diffStat } : null,
    diff,
    check: { before: before.passed, after: after.passed, output: after.output },
    usage: chain.usage ?? {},
    timeline: timeline.sort((a, b) => a.atMs - b.atMs),
  };
}

function patientLaunch(pm: PmClient, taskKey: string, projectKey: string, repositoryPath: string): Promise<Record<string, unknown>> {
  const launch = {
    action: "launch_task",
    clientRequestId: `demo-${randomUUID()}`,
    actor: "@demo",
    taskKey,
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    task: {
      title: "Greet people properly",
      description: 'greet() in src/greet.mjs keeps the spaces around a name and greets nobody as "undefined".',
      acceptanceCriteria: ["Spaces around a name are ignored", "Without a name the world is greeted", "node check.mjs passes"],
      repositoryPath,
      projectKey,
    },
    chain: {
      reviewers: [{ agentHandle: "reviewer", launcherConfigKey: "demo-reviewer" }],
      auditor: { agentHandle: "auditor", launcherConfigKey: "demo-auditor" },
      maxRounds: 3,
      gates: { reviews: { minScore: 90 }, audit: { minScore: 80 } },
    },
  };
  return patiently(() => pm.call("pm_session", launch));
}

/** Ends what the demo started, the chain first; gives it 5 s, since its worktrees need the scratch repository. */
async function abortStarted(pm: PmClient, chainId: string, sessionUlid: string): Promise<void> {
  const limit = AbortSignal.timeout(5_000);
  const reason = "the demo was stopped";
  for (const id of [chainId, sessionUlid]) {
    const done = await pm.call("pm_session", { action: "abort", sessionUlid: id, reason, clientRequestId: `demo-${randomUUID()}` }, limit).then(
      () => true,
      () => false,
    );
    if (done) break;
  }
  while (!limit.aborted) {
    const data = await pm.call("pm_session", { action: "get", sessionUlid: chainId }, limit).catch(() => null);
    const chain = data?.["chain"] as ChainAnswer | undefined;
    if (!chain || chain.state === "ended" || chain.reason) return;
    await sleep(200);
  }
}
