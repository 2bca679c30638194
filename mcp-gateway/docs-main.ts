import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tools } from "./registry/index.ts";
import { toolDocs } from "./tool-docs.ts";

/** `npm run docs`: writes docs/tools/*.md; with `--check` it only says which are not current. */
const directory = join(import.meta.dirname, "..", "docs", "tools");
const pages = toolDocs(tools);
mkdirSync(directory, { recursive: true });
const there = readdirSync(directory).filter((name) => name.endsWith(".md"));
const stale = [
  ...[...pages].filter(([name, body]) => !there.includes(name) || readFileSync(join(directory, name), "utf8") !== body).map(([name]) => name),
  ...there.filter((name) => !pages.has(name)),
];
if (process.argv.includes("--check")) {
  for (const name of stale) console.log(`docs/tools/${name} is not what the registry says: run "npm run docs"`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  for (const name of stale) {
    const body = pages.get(name);
    if (body === undefined) rmSync(join(directory, name));
    else writeFileSync(join(directory, name), body);
    console.log(`docs/tools/${name}`);
  }
}
