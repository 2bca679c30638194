import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, type Figures, percentile } from "../benchmark.ts";
import { cpuPercent, cpuTimes } from "../cpu.ts";
import { type Door, openDoor } from "../door.ts";
import { greedyPipe } from "../floor/greedy-pipe.ts";
import type { Ground, Site } from "../ground.ts";
import { addBenchAgent, launch, msSince, prompt, stamps } from "../orders.ts";

const seconds = 10;
/** sessions that an MCP client polls besides; each call is a whole read with status and budget */
const watched = 2;

/** Latency of streaming text with `agents` agents of `perSecond` pieces a second each, from the agent's write to its readers. */
export function deltas(name: string, agents: number, perSecond: number): Benchmark {
  return {
    name,
    what: `${agents} agents × ${perSecond} pieces of text a second for ${seconds} s (open loop): the agent's write() until the piece is in the hands of an SDK reader that follows its session, and (mcp) of an MCP client in a waiting \`live_deltas\` with gatherMs 0 on ${watched} of the sessions. Floor: as many pieces from one process through one greedy INSERT with NOTIFY to one listening reader, without processes, spools, fences or offsets`,
    units: { p50: "ms", p99: "ms", "mcp p50": "ms", "mcp p99": "ms", lost: "pieces", pieces: "" },
    steady: "p50",
    rounds: 3,
    targets: [
      { figure: "p50", of: "value", most: 3 },
      { figure: "p99", of: "value", most: 15 },
      { figure: "mcp p50", of: "value", most: 10 },
      { figure: "mcp p99", of: "value", most: 40 },
      { figure: "lost", of: "value", most: 0 },
    ],
    open: (ground) => open(ground, agents, perSecond),
  };
}

async function open(ground: Ground, agents: number, perSecond: number) {
  const site = await ground.baton({ gateway: true, numbers: { BATON_TURN_SLOTS: String(agents) } });
  addBenchAgent(site);
  const door = await openDoor(site);
  const sessions: string[] = [];
  for (let n = 0; n < agents; n += 1) sessions.push(await launch(site, { tools: 1 }));
  for (const session of sessions) await site.baton.turnsEnded(session, 1, 120_000);
  const pipe = await greedyPipe(ground, { sources: agents, perSecond, seconds });
  return {
    floor: () => pipe.run(),
    product: () => product(site, door, sessions, perSecond),
    async close() {
      await pipe.close();
      await door.close();
      await site.close();
    },
  };
}

async function product(site: Site, door: Door, sessions: string[], perSecond: number): Promise<Figures> {
  const count = seconds * perSecond;
  const stop = new AbortController();
  const followed: number[] = [];
  const polled: number[] = [];
  const heads = await Promise.all(
    sessions.map(async (id) => {
      const [head] = await site.baton.query<{ last_seq: string; last_delta: string }>("select last_seq, last_delta from head where session_ulid = $1", [id]);
      return { id, seq: Number(head?.last_seq), delta: Number(head?.last_delta) };
    }),
  );
  const readers = heads.map(async ({ id, seq, delta }) => {
    for await (const news of site.baton.sdk.sessions.follow({ sessionUlid: id, sinceSeq: seq, sinceDelta: delta }, stop.signal))
      for (const piece of news.deltas) for (const stamp of stamps(piece.text)) followed.push(msSince(stamp));
  });
  const pollers = heads.slice(0, watched).map(async ({ id, delta }) => {
    for (let sinceSeq = delta; !stop.signal.aborted;) {
      const answer = await door.call("pm_session", { action: "live_deltas", sessionUlid: id, sinceSeq, waitMs: 2_000, gatherMs: 0 });
      for (const piece of answer["deltas"] as { text: string }[]) for (const stamp of stamps(piece.text)) polled.push(msSince(stamp));
      sinceSeq = Number(answer["nextSeq"]);
    }
  });
  const reading = Promise.all([...readers, ...pollers]);
  // When the turns fail, it is their error that counts, and the trial must still be closed.
  reading.catch(() => undefined);
  const turns = (await site.baton.query<{ n: string }>("select count(*) n from turn where session_ulid = any($1) and reported_at is not null", [sessions]))[0];
  const cpu = cpuTimes(site);
  const started = performance.now();
  await Promise.all(sessions.map((id) => prompt(site, id, { deltas: count, perSecond })));
  await site.baton.eventually(
    "all have spoken",
    async () =>
      Number(
        (await site.baton.query<{ n: string }>("select count(*) n from turn where session_ulid = any($1) and reported_at is not null", [sessions]))[0]?.n,
      ) >=
      Number(turns?.n) + sessions.length,
    (seconds + 60) * 1_000,
  );
  const load = cpuPercent(cpu, cpuTimes(site), performance.now() - started);
  await sleep(1_000);
  stop.abort();
  await reading;
  return {
    p50: percentile(followed, 50),
    p99: percentile(followed, 99),
    "mcp p50": percentile(polled, 50),
    "mcp p99": percentile(polled, 99),
    pieces: followed.length,
    lost: sessions.length * count - followed.length,
    ...load,
  };
}
