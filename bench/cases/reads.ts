import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { type Benchmark, type Figures, percentile } from "../benchmark.ts";
import type { Site } from "../ground.ts";
import { addBenchAgent, launch } from "../orders.ts";

const connections = 20;
const seconds = 3;
const asked = ["status", "20 events", "100 events"];
/** Each with the least share of the floor that it is to reach. */
const doors: [string, number][] = [
  ["MCP", 0.3],
  ["HTTP", 0.5],
];

export const reads: Benchmark = {
  name: "reads",
  what: `reads over MCP (tools/call, stateless HTTP) and over plain HTTP (POST /call/pm_session), ${connections} connections: a session's status, 20 and 100 of its events. Floor: node:http and one query on the same rows`,
  units: Object.fromEntries(
    doors.flatMap(([door]) =>
      asked.flatMap((one) => [
        [`${door} ${one}/s`, ""],
        [`${door} ${one} p99`, "ms"],
      ]),
    ),
  ),
  steady: "MCP 20 events/s",
  targets: doors.flatMap(([door, least]) => asked.map((one) => ({ figure: `${door} ${one}/s`, of: "ratio" as const, least }))),
  async open(ground) {
    const site = await ground.baton({ gateway: true });
    addBenchAgent(site);
    const session = await launch(site, { tools: 100 });
    await site.baton.turnsEnded(session, 1, 60_000);
    const server = spawn(process.execPath, [join(import.meta.dirname, "..", "floor", "bare-server.ts"), site.stack.databaseUrl], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const port = Number(String((await once(server.stdout, "data"))[0]));
    const bare = (path: string) => ({ port, path, method: "GET", headers: {}, body: "" });
    return {
      async floor() {
        const figures = await all([`/status?s=${session}`, `/events?s=${session}&n=20`, `/events?s=${session}&n=100`].map(bare));
        return { ...named("MCP", figures), ...named("HTTP", figures) };
      },
      async product() {
        const calls = [{ action: "get" }, { action: "events", sinceSeq: 0, limit: 20 }, { action: "events", sinceSeq: 0, limit: 100 }];
        const over = doorsOf(site, session);
        return { ...named("MCP", await all(calls.map(over.mcp))), ...named("HTTP", await all(calls.map(over.http))) };
      },
      async close() {
        const gone = once(server, "exit");
        server.kill();
        await gone;
        await site.close();
      },
    };
  },
};

interface Call {
  port: number;
  path: string;
  method: string;
  headers: Record<string, string>;
  body: string;
}

/** What a host of this revision puts into each request. */
const revision = "2026-07-28";
const _meta = {
  "io.modelcontextprotocol/protocolVersion": revision,
  "io.modelcontextprotocol/clientCapabilities": {},
  "io.modelcontextprotocol/clientInfo": { name: "bench", version: "1" },
};

/** The same call through each door. */
function doorsOf(site: Site, sessionUlid: string): Record<"mcp" | "http", (args: Record<string, unknown>) => Call> {
  const { port, pathname } = new URL(site.gatewayUrl);
  const authorization = `Bearer ${readFileSync(join(site.stack.home, "token"), "utf8").trim()}`;
  const headers = { authorization, "content-type": "application/json" };
  const asHost = { accept: "application/json, text/event-stream", "mcp-protocol-version": revision, "mcp-method": "tools/call", "mcp-name": "pm_session" };
  const post = { port: Number(port), method: "POST" };
  return {
    mcp: (args) => ({
      ...post,
      path: pathname,
      headers: { ...headers, ...asHost },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "pm_session", arguments: { sessionUlid, ...args }, _meta } }),
    }),
    http: (args) => ({ ...post, path: "/call/pm_session", headers, body: JSON.stringify({ sessionUlid, ...args }) }),
  };
}

const named = (door: string, figures: Figures): Figures => Object.fromEntries(Object.entries(figures).map(([name, figure]) => [`${door} ${name}`, figure]));

/** What each of `asked` is asked by, one after the other. */
async function all(calls: Call[]): Promise<Figures> {
  const figures: Figures = {};
  for (const [n, call] of calls.entries()) {
    const agent = new Agent({ keepAlive: true, maxSockets: connections });
    const samples: number[] = [];
    const end = performance.now() + seconds * 1_000;
    await Promise.all(
      Array.from({ length: connections }, async () => {
        while (performance.now() < end) {
          const started = performance.now();
          await answered(agent, call);
          samples.push(performance.now() - started);
        }
      }),
    );
    agent.destroy();
    figures[`${asked[n]}/s`] = samples.length / seconds;
    figures[`${asked[n]} p99`] = percentile(samples, 99);
  }
  return figures;
}

/** One request on a kept connection; an answer that is none ends the benchmark. */
function answered(agent: Agent, call: Call): Promise<void> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent,
        host: "127.0.0.1",
        port: call.port,
        path: call.path,
        method: call.method,
        headers: { ...call.headers, "content-length": Buffer.byteLength(call.body) },
      },
      (answer) => {
        let text = "";
        answer.setEncoding("utf8").on("data", (piece: string) => {
          text += piece;
        });
        answer.on("end", () =>
          answer.statusCode === 200 && !text.includes('"isError":true') ? resolve() : reject(new Error(`${answer.statusCode}: ${text.slice(0, 500)}`)),
        );
      },
    );
    sent.on("error", reject);
    sent.end(call.body);
  });
}
