import { createHash } from "node:crypto";
import { BatonError } from "../contracts/failures.ts";
import type { Override, Preset } from "../contracts/preset.ts";
import type { LaunchOverrides } from "./effective-launch.ts";

/** Values beyond this, as JSON, are recorded by their hash. */
const longest = 2_000;
const secretsOfBaton = /^env:(?:DATABASE_URL|PG[A-Z]+|TEMPORAL_[A-Z_]+|BATON_[A-Z_]+)$/;

/**
 * Where a launch differs from its preset. Errors: PERMISSION_DENIED when the preset allows no overrides;
 * INVALID_ARGUMENT for an environment reference that no host reads.
 */
export function overridesOf(preset: Preset, over: LaunchOverrides, by: string): Override[] {
  checkReferences(over);
  const asked: [string, unknown, unknown][] = [
    ["config.command", preset.config.command, over.command],
    ["config.wrapper", preset.config.wrapper, over.wrapper],
    ["config.model", preset.config.model, over.model],
    ["config.scenario", preset.config.scenario, over.scenario],
    ["config.keepAliveMs", preset.config.keepAliveMs, over.keepAliveMs],
    ["config.sessionIdleCloseMs", preset.config.sessionIdleCloseMs, over.sessionIdleCloseMs],
    ["tools", preset.tools, over.tools],
    ...(over.env ?? []).map((one): [string, unknown, unknown] => [
      `env.${one.name}`,
      preset.config.env?.find((own) => own.name === one.name)?.valueRef,
      one.valueRef,
    ]),
  ];
  const found = asked
    .filter(([, from, to]) => to !== undefined && JSON.stringify(from) !== JSON.stringify(to))
    .map(([path, from, to]) => ({ path, from: short(from), to: short(to), by }));
  const paths = found.map((one) => one.path);
  if (preset.allowAdhocOverrides === false && paths.length > 0)
    throw new BatonError("PERMISSION_DENIED", `Preset "${preset.key}" allows no overrides: leave ${paths.join(", ")} out, or use another preset.`, {
      field: paths[0] ?? "config",
      allowed: [],
    });
  return found;
}

function checkReferences(over: LaunchOverrides): void {
  for (const { name, valueRef } of over.env ?? []) {
    if (!/^[A-Za-z_][A-Za-z0-9_]{0,99}$/.test(name))
      throw new BatonError("INVALID_ARGUMENT", `"${name}" is no name of an environment variable.`, { field: "env" });
    if (!/^env:[A-Za-z_][A-Za-z0-9_]*$/.test(valueRef))
      throw new BatonError("INVALID_ARGUMENT", `"${name}" needs a reference, never a value: env:NAME is the variable NAME of Baton's host.`, {
        field: "env",
        example: { env: [{ name, valueRef: `env:${name}` }] },
      });
    if (secretsOfBaton.test(valueRef)) throw new BatonError("PERMISSION_DENIED", `${valueRef} is Baton's own: no agent may have it.`, { field: "env" });
  }
}

function short(value: unknown): unknown {
  if (value === undefined) return null;
  const text = JSON.stringify(value);
  return text.length <= longest ? value : { sha256: createHash("sha256").update(text).digest("hex"), bytes: Buffer.byteLength(text) };
}
