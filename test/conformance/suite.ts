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
 * (what both revisions require, and everything it has), through the token check; and the product as it is shipped against the inspector
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
  // The product as it is shipped: a second gateway of the same Baton, without fixtures.
  const env = { ...process.env, BATON_HOME: home, BATON_PORT: "0", DATABASE_URL: baton.databaseUrl, TEMPORAL_ADDRESS: baton.temporalAddress };
  const shipped = await startPart({ script: join(root, "mcp-gateway/main.ts"), env, log: join(home, "logs", "shipped.log") });
  const doors = { url: String(shipped.ready["url"]), token, home };
  try {
    return await Promise.all([
      official("what 2025-11-25 requires", ["--requirements", "2025-11-25"], proxy.url, join(output, "2025-11-25")),
      official("what 2026-07-28 requires", ["--requirements", "2026-07-28"], proxy.url, join(output, "2026-07-28")),
      official("every official scenario", ["--suite", "all"], proxy.url, join(output, "all")),
      inspector(doors),
      clients(doors),
    ]);
  } finally {
    await shipped.stop(5_000);
    proxy.close();
  }
}
