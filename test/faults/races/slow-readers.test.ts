import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { launchScripted } from "../support/launch.ts";
import { openMcpDoor } from "../support/mcp-door.ts";
import { onStack } from "../support/on-stack.ts";

const readers = 50;
const requestsEach = 100;
/** Of the gateway's heap: far less than what is asked of it at once. */
const heapMb = 320;
const idleMs = 8_000;
const on = onStack({ start: ["engine", "host"], numbers: { BATON_SOCKET_IDLE_MS: String(idleMs) } });
const sockets: Socket[] = [];
afterAll(() => sockets.forEach((socket) => socket.destroy()));

/** One connection that asks again and again for everything and takes nothing. */
function deafReader(url: URL, token: string, sessionUlid: string): Promise<Socket> {
  const body = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "pm_session", arguments: { action: "events", sessionUlid, sinceSeq: 0, maxBytes: 204_800 } },
  });
  const request = [
    `POST ${url.pathname} HTTP/1.1`,
    `Host: ${url.host}`,
    `Authorization: Bearer ${token}`,
    "Content-Type: application/json",
    "Accept: application/json, text/event-stream",
    "Mcp-Protocol-Version: 2025-06-18",
    `Content-Length: ${Buffer.byteLength(body)}`,
    "",
    body,
  ].join("\r\n");
  return new Promise((resolve, reject) => {
    const socket = connect(Number(url.port), url.hostname, () => {
      for (let n = 0; n < requestsEach; n++) socket.write(request);
      resolve(socket);
    });
    socket.pause();
    socket.on("error", reject);
    sockets.push(socket);
  });
}

test(`${readers} readers that never read their answers: the gateway's memory is bounded, they are dropped, others have theirs (row 25)`, async () => {
  const session = await launchScripted(on.baton, on.stack, {
    key: `${on.stack.env["BATON_INSTANCE"]}-much`,
    turns: [Array.from({ length: 12 }, (_, n) => ({ run: `head -c 80000 /dev/zero | tr '\\0' ${n % 10}` }))],
  });
  await on.baton.turnsEnded(session, 1, 60_000);
  on.stack.env["NODE_OPTIONS"] = `--max-old-space-size=${heapMb}`;
  const door = await openMcpDoor(on.stack);
  delete on.stack.env["NODE_OPTIONS"];
  const ask = async (): Promise<number> => {
    const from = performance.now();
    const answer = await door.call({ action: "events", sessionUlid: session, sinceSeq: 0 });
    expect(answer.ok).toBe(true);
    return performance.now() - from;
  };
  const one = JSON.stringify(await door.call({ action: "events", sessionUlid: session, sinceSeq: 0, maxBytes: 204_800 })).length;
  const asked = (readers * requestsEach * one) / 1_048_576;
  expect(asked).toBeGreaterThan(1.5 * heapMb);
  const token = readFileSync(join(on.stack.home, "token"), "utf8").trim();
  await Promise.all(Array.from({ length: readers }, () => deafReader(new URL(door.url), token, session)));
  // Until the system's own buffers are full they are readers like any other; then nothing more is read from them and nothing computed.
  let slowest = Number.POSITIVE_INFINITY;
  const threeQuick = async () => {
    slowest = Math.max(await ask(), await sleep(1_000).then(ask), await ask());
    return slowest < 2_000;
  };
  await on.baton.eventually("others have theirs at once", () => threeQuick().catch(() => false), 150_000);
  console.log(
    `one answer ${one} bytes, ${Math.round(asked)} MB asked for at once of a heap of ${heapMb} MB; slowest answer to others ${Math.round(slowest)} ms`,
  );
  expect([door.process.exitCode, door.process.signalCode]).toEqual([null, null]);
  // A connection that takes nothing for as long as this is closed by the gateway.
  const port = Number(new URL(door.url).port).toString(16).toUpperCase().padStart(4, "0");
  /** Established ones at the gateway's end; the reader's own end does not hear of the close while its buffers are full. */
  const open = () =>
    readFileSync("/proc/net/tcp", "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local, , state]) => local?.endsWith(`:${port}`) && state === "01");
  await on.baton.eventually("the gateway has dropped them", async () => open().length < readers / 2, 60_000);
  await ask();
  await door.close();
}, 300_000);
