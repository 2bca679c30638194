import { demoScenarios } from "../contracts/demo-scenarios.ts";
import type { Preset } from "../contracts/preset.ts";
import { knownAgents } from "./known-agents.ts";

/** A preset as a file holds it. */
export type PresetSource = Pick<Preset, "key" | "providerType" | "config" | "permissions"> & Partial<Preset>;

const roles = { coder: "approve-all", reviewer: "approve-reads", auditor: "approve-reads" } as const;

/** The presets that are always there: a coder, a reviewer and an auditor of each agent that Baton knows, and the demo's. */
export function builtInPresets(): PresetSource[] {
  const real = Object.entries(roles).flatMap(([role, mode]) =>
    knownAgents.map(({ providerType, title, command }): PresetSource => {
      const displayName = `${title}, ${role}`;
      return { key: `${role}-${providerType}`, displayName, providerType, config: { command: [...command] }, permissions: { mode } };
    }),
  );
  const demo = (["executor", "reviewer", "auditor"] as const).map((role): PresetSource => {
    const mode = role === "executor" ? "approve-all" : "approve-reads";
    return { key: `demo-${role}`, providerType: "scripted", config: { scenario: demoScenarios[role] }, permissions: { mode } };
  });
  return [...real, ...demo];
}
