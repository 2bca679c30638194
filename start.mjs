#!/usr/bin/env node
// Makes a bare clone runnable. Plain JavaScript: any Node from 20 reads it; everything behind it runs on the Node 24 of node_modules.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { isatty } from "node:tty";
import { fileURLToPath } from "node:url";

const checkout = dirname(fileURLToPath(import.meta.url)); // import.meta.dirname is younger than the oldest Node that may come here
if (Number(process.versions.node.split(".")[0]) < 20) {
  console.error(`Baton needs Node 20 or newer to start (it then gets its own); this is ${process.version}.`);
  process.exit(1);
}
const at = (...parts) => join(checkout, ...parts);

const commands = {
  start: { script: "local/main.ts", what: "Baton and all it needs, until Ctrl-C" },
  demo: { script: "local/demo.ts", what: "the main job, once, in a scratch repository" },
  mcp: { script: "mcp-gateway/stdio-main.ts", what: "an MCP server on stdin and stdout, for an MCP host's configuration" },
  status: { script: "cli/main.ts", args: ["status"], what: "what runs, what waits for whom; --watch, --json" },
  call: { script: "cli/main.ts", args: ["call"], what: 'one call of a tool: call pm_session \'{"action":"list"}\'' },
  answer: { script: "cli/main.ts", args: ["answer"], what: "answer what an agent waits for: answer <approvalId | session> <decision | text>" },
  token: { script: "cli/main.ts", args: ["token"], what: "create, list or revoke credentials" },
  connect: { script: "cli/main.ts", args: ["connect"], what: "an MCP host's configuration: claude, codex, cursor, vscode, opencode, gemini; --write" },
  test: {
    flags: ["--experimental-vm-modules", "--disable-warning=ExperimentalWarning"],
    script: "node_modules/jest/bin/jest.js",
    what: "all tests, or those whose path is given",
  },
  "test:faults": { script: "test/faults/suite.ts", what: "the fault suite at full length, and its table docs/faults.md; --times n, --switched-off" },
  "test:conformance": {
    script: "test/conformance/suite.ts",
    what: "the official MCP suite for both revisions, the inspector and both SDKs against a real Baton",
  },
  docs: { script: "mcp-gateway/docs-main.ts", what: "docs/tools/*.md from the registry; --check" },
  check: { script: "local/check.ts", what: "types, lint, format, dead code" },
  bench: { script: "bench/main.ts", what: "benchmarks with their floors; --list, --compare, --json file" },
  bundle: { script: "workers/bundle.ts", what: "the workflow bundle, ahead of time" },
};

// a terminal that was closed takes nothing any more: what is written there is lost, and that is all
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

const [name = "start", ...rest] = process.argv.slice(2);
const command = commands[name];
if (command === undefined) {
  const lines = Object.entries(commands).map(([key, { what }]) => `  ${ownName()} ${key.padEnd(17)}${what}`);
  if (["help", "--help", "-h"].includes(name)) {
    console.log(`Baton, a durable runtime for coding agents.\n${lines.join("\n")}`);
    process.exit(0);
  }
  console.error(`There is no command ${JSON.stringify(name)}. There are:\n${lines.join("\n")}`);
  process.exit(64); // as cli/exit-codes.ts: written wrongly
}
await install();
runUnderOwnNode();

/** `npm ci` when the lock file is not the one that node_modules was made from. Talks on stderr only: stdout is the MCP host's. */
async function install() {
  const wanted = createHash("sha256")
    .update(readFileSync(at("package-lock.json")))
    .digest("hex");
  if (stamp() === wanted) return;
  const running = batonOfThisCheckout();
  if (running !== null && existsSync(at("node_modules/.bin/node"))) {
    console.error(`The dependencies changed, but the Baton with pid ${running} runs from this checkout: stop it first to install them.`);
    return;
  }
  await locked(at(".baton/install.lock"), () => {
    if (stamp() === wanted) return; // another start did it while we waited
    console.error("Installing dependencies (npm ci): about a minute …");
    const done = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: checkout, stdio: ["ignore", 2, 2] });
    if (done.status !== 0) {
      console.error(`npm ci failed${done.error ? `: ${done.error.message}` : ""}. Baton needs npm and a registry once; then run the same command again.`);
      process.exit(1);
    }
    writeFileSync(at("node_modules/.baton-stamp"), wanted);
  });
}

function stamp() {
  try {
    return readFileSync(at("node_modules/.baton-stamp"), "utf8").trim();
  } catch {
    return null;
  }
}

/** pid of the living Baton that runs from this checkout, by run.json of its home; or null. */
function batonOfThisCheckout() {
  const run = readRun();
  return run !== null && run.checkout === checkout && alive(run.pid) ? run.pid : null;
}

function readRun() {
  try {
    return JSON.parse(readFileSync(join(process.env.BATON_HOME || join(homedir(), ".baton"), "run.json"), "utf8"));
  } catch {
    return null;
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** One installation at a time: the directory is the lock, and one whose maker is dead is taken over. */
async function locked(path, body) {
  mkdirSync(at(".baton"), { recursive: true });
  for (;;) {
    try {
      mkdirSync(path);
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    let holder = NaN;
    try {
      holder = Number(readFileSync(join(path, "pid"), "utf8"));
    } catch {
      /* just made, or just removed */
    }
    // without a pid after a while: its maker died between the two steps
    if (Number.isNaN(holder)) {
      await pause(500);
      if (!existsSync(join(path, "pid"))) rmSync(path, { recursive: true, force: true });
      continue;
    }
    if (!alive(holder)) rmSync(path, { recursive: true, force: true });
    else await pause(200);
  }
  writeFileSync(join(path, "pid"), String(process.pid));
  try {
    body();
  } finally {
    rmSync(path, { recursive: true, force: true });
  }
}

function pause(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** How a person calls this again from where they are. */
function ownName() {
  return process.cwd() === checkout ? "npx baton" : `node ${at("start.mjs")}`;
}

/** Runs the command under Node 24 and ends as it ends. */
function runUnderOwnNode() {
  const node = at("node_modules/.bin/node");
  const child = spawn(node, [...(command.flags ?? []), at(command.script), ...(command.args ?? []), ...rest], {
    stdio: "inherit",
    cwd: command.args || name === "mcp" ? process.cwd() : checkout,
    // Node keeps what it makes of each .ts file: a process of ours starts in a third of the time and half the memory
    env: {
      NODE_COMPILE_CACHE: at(".baton/compile-cache"),
      BATON_NODE: process.env.npm_node_execpath || process.execPath,
      BATON_COMMAND: ownName(),
      ...process.env,
    },
  });
  // The terminal sends Ctrl-C to the child too, and two of them mean "now": so it is passed on as a TERM, for whoever sent it to us alone.
  let interrupted = false;
  process.on("SIGINT", () => {
    interrupted = true;
    child.kill("SIGTERM");
  });
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  // Node forgets that nohup ignored it; but nohup leaves no terminal either
  const atTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
  process.on("SIGHUP", () => atTerminal && child.kill("SIGHUP"));
  child.on("error", (error) => {
    console.error(`${node} does not start: ${error.message}. Remove node_modules and run this again.`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    const numbers = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: interrupted ? 2 : 15 };
    process.exit(code ?? 128 + (numbers[signal] ?? 1));
  });
}
