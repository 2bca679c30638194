import { spawn } from "node:child_process";
import { join } from "node:path";

const checkout = join(import.meta.dirname, "..");

/** All of them run, also after a failure: one call shows everything that is wrong. */
const checks: Record<string, string[]> = {
  types: ["tsc"],
  lint: ["oxlint", "--type-aware", "--deny-warnings"],
  format: ["oxfmt", "--check", "."],
  "dead code": ["knip"],
  docs: ["node", "mcp-gateway/docs-main.ts", "--check"],
};

const results = await Promise.all(Object.entries(checks).map(([name, argv]) => run(name, argv)));
for (const { name, output, failed, seconds } of results) {
  process.stdout.write(`${failed ? "✗" : "✓"} ${name} (${seconds} s)\n${failed ? output : ""}`);
}
const failures = results.filter((result) => result.failed).length;
process.stdout.write(`${results.length - failures} checks passed, ${failures} failed\n`);
process.exitCode = failures === 0 ? 0 : 1;

async function run(name: string, [tool = "", ...args]: string[]): Promise<{ name: string; output: string; failed: boolean; seconds: string }> {
  const started = Date.now();
  const bin = join(checkout, "node_modules", ".bin");
  const child = spawn(join(bin, tool), args, {
    cwd: checkout,
    env: { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  const code = await new Promise<number | null>((resolve) => {
    child.once("error", (error) => {
      output += `${error.message}\n`;
      resolve(1);
    });
    child.once("close", resolve);
  });
  return { name, output, failed: code !== 0, seconds: ((Date.now() - started) / 1000).toFixed(1) };
}
