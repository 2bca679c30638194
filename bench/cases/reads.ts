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

export const reads: Benchmark = {
  name: "reads",
  what: `reads over MCP (tools/call, stateless HTTP, ${connections} connections): a session's status, 20 and 100 of its events. Floor: node:http and one query on the same rows`,
  units: { "status/s": "", "20 events/s": "", "100 events/s": "", "status p99": "ms", "20 events p99": "ms", "100 events p99": "ms" },
  steady: "20 events/s",
  targets: [
    { figure: "status/s", of: "ratio", least: 0.3 },
    { figure: "20 events/s", of: "ratio", least: 0.3 },
    { figure: "100 events/s", of: "ratio", least: 0.3 },
  ],
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
      floor: () =>
        all({ status: bare(`/status?s=${session}`), "20 events": bare(`/events?s=${session}&n=20`), "100 events": bare(`/events?s=${session}&n=100`) }),
      product: () => {
        const tool = mcp(site, session);
        return all({
          status: tool({ action: "get" }),
          "20 events": tool({ action: "events", sinceSeq: 0, limit: 20 }),
          "100 events": tool({ action: "events", sinceSeq: 0, limit: 100 }),
        });
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

function mcp(site: Site, sessionUlid: string): (args: Record<string, unknown>) => Call {
  const url = new URL(site.gatewayUrl);
  const authorization = `Bearer ${readFileSync(join(site.stack.home, "token"), "utf8").trim()}`;
  return (args) => ({
    port: Number(url.port),
    path: url.pathname,
    method: "POST",
    headers: {
      authorization,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": revision,
      "mcp-method": "tools/call",
      "mcp-name": "pm_session",
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "pm_session", arguments: { sessionUlid, ...args }, _meta } }),
  });
}

async function all(calls: Record<string, Call>): Promise<Figures> {
  const figures: Figures = {};
  for (const [name, call] of Object.entries(calls)) {
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
    figures[`${name}/s`] = samples.length / seconds;
    figures[`${name} p99`] = percentile(samples, 99);
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
