import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ownBaton } from "../../local/own-baton.ts";
import { startPart } from "../../local/part.ts";
import type { RunFile } from "../../local/run-file.ts";
import { clients } from "./clients.ts";
import { inspector } from "./inspector.ts";
import { official } from "./official.ts";
import type { Tally } from "./tally.ts";
import { tokenProxy } from "./token-proxy.ts";
import { installTools } from "./tools.ts";

const root = join(import.meta.dirname, "../..");

/**
 * `npm run test:conformance`: a Baton of its own, with the fixtures that the official scenarios call, against the official suite
 * (what both revisions require, and everything it has), once without and once through the token check; and the product as it is shipped against the inspector
 * and the official clients. No failure is expected.
 */
process.exitCode = await main();

async function main(): Promise<number> {
  installTools();
  const started = Date.now();
  const own = ownBaton("baton-conformance-", { BATON_MCP_FIXTURES: join(import.meta.dirname, "fixtures.ts") });
  const output = mkdtempSync(join(tmpdir(), "baton-conformance-out-"));
  let failed = 1;
  try {
    const baton = await own.up();
    if (baton === null) return 1;
    const tallies = await legs(baton, output);
    for (const { name, passed, failures } of tallies) {
      process.stdout.write(`${failures.length > 0 ? "✗" : "✓"} ${name}: ${passed} passed, ${failures.length} failed\n`);
      for (const failure of failures) process.stdout.write(`    ${failure}\n`);
    }
    failed = tallies.reduce((sum, tally) => sum + tally.failures.length, 0);
    const passed = tallies.reduce((sum, tally) => sum + tally.passed, 0);
    process.stdout.write(`in ${((Date.now() - started) / 1_000).toFixed(0)} s\n${passed} passed, ${failed} failed\n`);
    return failed === 0 ? 0 : 1;
  } finally {
    await own.stop();
    rmSync(output, { recursive: true, force: true });
    if (failed === 0) rmSync(own.home, { recursive: true, force: true });
    else process.stderr.write(`Logs: ${join(own.home, "logs")}\n`);
  }
}

async function legs(baton: RunFile, output: string): Promise<Tally[]> {
  const token = readFileSync(baton.tokenFile, "utf8").trim();
  const proxy = await tokenProxy(new URL(baton.mcpUrl), token);
  const home = join(baton.tokenFile, "..");
  const env = { ...process.env, BATON_HOME: home, BATON_PORT: "0", DATABASE_URL: baton.databaseUrl, TEMPORAL_ADDRESS: baton.temporalAddress };
  const gateway = (name: string, more: Record<string, string> = {}) =>
    startPart({ script: join(root, "mcp-gateway/main.ts"), env: { ...env, ...more }, log: join(home, "logs", `${name}.log`) });
  // More gateways of the same Baton: the product as it is shipped, and one with fixtures that asks for no token.
  const [shipped, open] = await Promise.all([gateway("shipped"), gateway("open", { BATON_MCP_FIXTURES: join(import.meta.dirname, "fixtures-open.ts") })]);
  const doors = { url: String(shipped.ready["url"]), token, home };
  const sets = {
    "what 2025-11-25 requires": ["--requirements", "2025-11-25"],
    "what 2026-07-28 requires": ["--requirements", "2026-07-28"],
    "every official scenario": ["--suite", "all"],
  };
  const ways = { "": String(open.ready["url"]), ", through the token check": proxy.url };
  const runs = Object.entries(ways).flatMap(([way, url]) => Object.entries(sets).map(([set, args]) => ({ name: `${set}${way}`, url, args })));
  try {
    return await Promise.all([...runs.map(({ name, url, args }, n) => official(name, args, url, join(output, String(n)))), inspector(doors), clients(doors)]);
  } finally {
    await Promise.all([shipped.stop(5_000), open.stop(5_000)]);
    proxy.close();
  }
}
