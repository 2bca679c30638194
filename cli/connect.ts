import { copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { readConfig } from "../contracts/config.schema.ts";
import { exitCodes, Usage } from "./exit-codes.ts";
import { type HostConfig, hostConfigs, type Way } from "./host-configs.ts";
import { mergeJson } from "./merge-json.ts";
import { mergeToml } from "./merge-toml.ts";
import { type Environment, findRunning } from "./running.ts";

export const connectUsage = `baton connect ${Object.keys(hostConfigs).join("|")} [--write] [--http] [--user] [--directory path]
    the MCP configuration of a host, finished, with absolute paths: printed, or with --write merged into the host's file (a backup stays);
    --http: the running gateway's address and token instead of a server that the host starts; --user: the user's file, not the project's`;

const name = "baton";
const checkout = join(import.meta.dirname, "..");

/** Prints or writes how an MCP host reaches this Baton. */
export function connect(argv: string[], env: Environment): number {
  const flags = { write: { type: "boolean" }, http: { type: "boolean" }, user: { type: "boolean" }, directory: { type: "string" } } as const;
  const { values, positionals } = parseArgs({ args: argv, allowPositionals: true, options: flags });
  const [asked = "", ...more] = positionals;
  const host = Object.hasOwn(hostConfigs, asked) ? hostConfigs[asked] : undefined;
  if (!host || more.length > 0) throw new Usage(connectUsage);
  // npm runs its scripts in the checkout and says where it was called.
  const directory = values.directory ?? env["INIT_CWD"] ?? process.cwd();
  if (!statSync(directory, { throwIfNoEntry: false })?.isDirectory()) throw new Usage(`There is no directory ${directory}.`);
  // Nobody works on their project in Baton's own clone.
  const instead = values.directory === undefined && values.user !== true && realpathSync(directory) === realpathSync(checkout);
  const where = { directory, home: homedir(), env };
  const file = host.file({ ...where, user: values.user === true || instead });
  if (instead && file !== host.file({ ...where, user: false }))
    console.error(`This is Baton's own clone, so the user's file is meant. For one project: --directory /path/to/project`);
  const way = values.http ? http(env) : stdio(env);
  if (!values.write) {
    console.log(merged(host, null, way).trimEnd());
    console.error(`\nFor ${host.title}: put this into ${file}, or run the same with --write.`);
  } else if (!write(host, file, way)) return exitCodes.refused;
  if (way.kind === "http" && host.format === "toml")
    console.error(`The token comes from the environment: export BATON_TOKEN="$(cat '${join(readConfig(env).home, "token")}')"`);
  else if (way.kind === "http") console.error("The token is in it: keep the file out of git.");
  return exitCodes.done;
}

function stdio(env: Environment): Way {
  const home = env["BATON_HOME"] ? { BATON_HOME: readConfig(env).home } : {};
  // The Node that start.mjs was called with: it lasts longer than the one in node_modules.
  return { kind: "stdio", command: env["BATON_NODE"] || process.execPath, args: [join(checkout, "start.mjs"), "mcp"], env: home };
}

function http(env: Environment): Way {
  const { url, token } = findRunning(env);
  return { kind: "http", url: new URL("/mcp", url).href, token };
}

/** For their keys alone. */
const anyStdio: Way = { kind: "stdio", command: "", args: [], env: { BATON_HOME: "" } };
const anyHttp: Way = { kind: "http", url: "", token: "" };

function merged(host: HostConfig, text: string | null, way: Way): string {
  const entry = host.entry(way);
  return host.format === "json"
    ? mergeJson(text, host.path, name, entry)
    : mergeToml(text, host.path.join("."), name, entry, Object.keys({ ...host.entry(anyStdio), ...host.entry(anyHttp) }));
}

/** Merges into the file, whole or not at all; the former one stays beside it. False: it could not, and why was said. */
function write(host: HostConfig, wanted: string, way: Way): boolean {
  const before = existsSync(wanted) ? readFileSync(wanted, "utf8") : null;
  // A link into somebody's collection of settings stays one.
  const file = before === null ? wanted : realpathSync(wanted);
  let after: string;
  try {
    after = merged(host, before, way);
  } catch (error) {
    console.error(`${file} is not changed. ${(error as Error).message}\nAdd this by hand:\n\n${merged(host, null, way)}`);
    return false;
  }
  if (after === before) {
    console.log(`${file} has it already.`);
    return true;
  }
  mkdirSync(dirname(file), { recursive: true });
  const backup = before === null ? null : freeName(`${file}.before-baton`);
  if (backup !== null) copyFileSync(file, backup);
  const draft = `${file}.${process.pid}`;
  const mode = before === null ? 0o600 : statSync(file).mode & 0o777;
  // With a token in it, it is the owner's alone.
  writeFileSync(draft, after, { mode: way.kind === "http" ? 0o600 : mode, flush: true });
  renameSync(draft, file);
  console.log(`${host.title}: written to ${file}${backup === null ? "" : ` (as it was: ${backup})`}. ${host.then}`);
  return true;
}

function freeName(path: string): string {
  for (let n = 1; ; n += 1) {
    const candidate = n === 1 ? path : `${path}-${n}`;
    if (!existsSync(candidate)) return candidate;
  }
}
