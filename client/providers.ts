import { access } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Preset } from "../contracts/preset.ts";
import type { Deps } from "./deps.ts";
import { findProgram } from "./find-program.ts";
import { installHint, type KnownAgent, knownAgents } from "./known-agents.ts";
import { findPreset } from "./launch-plan.ts";
import { probeAcp, versionOf } from "./probe.ts";

type Data = Record<string, unknown>;

const scriptedAgent = join(import.meta.dirname, "..", "scripted-agent", "main.ts");

/** What Baton's ACP driver can do with an agent; what the agent itself offers is what `test_preset` asks it. */
const capabilities = { steer: "none", approvals: true, deltas: true, interrupt: true, mcpServers: true };

/** The agents Baton knows: which are on this machine, in which version, logged in or not, and what to install. Starts nothing but `--version`. */
export async function listProviders(deps: Deps): Promise<Data> {
  const { searchPath } = deps.options;
  const found = await Promise.all(knownAgents.map((agent) => provider(agent, searchPath)));
  return {
    providers: [
      ...found,
      { provider: "acp", available: true, say: "Any agent that speaks ACP over stdio: give its argv as config.command of a preset." },
      { provider: "scripted", available: true, path: scriptedAgent, capabilities, say: "Baton's own agent that plays a scenario: for tests and the demo." },
    ],
  };
}

async function provider(agent: KnownAgent, searchPath: string): Promise<Data> {
  const wanted = [...new Set([agent.command[0], ...(agent.agent ? [agent.agent] : [])])];
  const paths = await Promise.all(wanted.map(async (program) => ({ program, path: await findProgram(program, searchPath) })));
  const missing = paths.filter(({ path }) => path === null).map(({ program }) => program);
  // The adapter's version says little: the agent's own is the one that people know.
  const main = paths.at(-1);
  const loggedIn = await anyThere(agent.loginFiles);
  return {
    provider: agent.providerType,
    title: agent.title,
    available: paths[0]?.path !== null,
    path: paths[0]?.path ?? null,
    version: main?.path ? await knownVersion(main.path, searchPath) : null,
    loggedIn: loggedIn ? "yes" : "not found",
    capabilities,
    presets: ["coder", "reviewer", "auditor"].map((role) => `${role}-${agent.providerType}`),
    ...(missing.length > 0 ? { missing, install: agent.install } : {}),
    ...(loggedIn ? {} : { login: `${agent.login}; or a key in the preset's env, by reference` }),
  };
}

/** So long what a program said of its version is told again. Milliseconds. */
const versionKeptMs = 10_000;
const versions = new Map<string, { said: Promise<string | null>; until: number }>();

/** What `--version` says, from one process of a program at a time however many ask: a caller who may only read starts no swarm of them. */
function knownVersion(path: string, searchPath: string): Promise<string | null> {
  const key = `${path}\0${searchPath}`;
  const known = versions.get(key);
  if (known && performance.now() < known.until) return known.said;
  const asked = { said: versionOf(path, searchPath), until: Infinity };
  versions.set(key, asked);
  // One that could not even be started is tried again by the next call.
  asked.said.then(
    () => (asked.until = performance.now() + versionKeptMs),
    () => versions.delete(key),
  );
  return asked.said;
}

/** Whether a preset's agent is there and shakes hands: a probe, no session and no model call. Never an error for an agent that does not work: `ok` says it. */
export async function testPreset(deps: Deps, key: string): Promise<Data> {
  const preset = await findPreset(deps, key);
  const { searchPath } = deps.options;
  const about = { key: preset.key, provider: preset.providerType, revision: preset.revision };
  const command = preset.providerType === "scripted" ? [process.execPath, scriptedAgent] : preset.config.command;
  if (!command) return { ...about, ok: false, say: "It names no agent: give config.command, the argv of an ACP agent." };
  const argv = [...(preset.config.wrapper ?? []), ...command];
  const path = await findProgram(argv[0] ?? "", searchPath);
  const install = installHint(preset.providerType);
  if (path === null) return { ...about, ok: false, say: `"${argv[0]}" is not on PATH.`, ...(install ? { install } : {}) };
  const probe = await probeAcp(argv, { searchPath, env: scenarioOf(preset), ownHome: preset.providerType === "scripted" });
  const env = (preset.config.env ?? []).map(({ name, valueRef }) => ({ name, valueRef }));
  return { ...about, path, ...probe, ...(env.length > 0 ? { env, note: "The host reads env at the launch: it was not given to the probe." } : {}) };
}

function scenarioOf(preset: Preset): Record<string, string> {
  if (preset.providerType !== "scripted") return {};
  const { scenario } = preset.config;
  return typeof scenario === "string" ? { BATON_SCENARIO_FILE: scenario } : { BATON_SCENARIO: JSON.stringify(scenario ?? { turns: [[]] }) };
}

async function anyThere(files: readonly string[]): Promise<boolean> {
  for (const file of files) {
    const there = await access(join(homedir(), file)).then(
      () => true,
      () => false,
    );
    if (there) return true;
  }
  return false;
}
