import { setTimeout as sleep } from "node:timers/promises";
import { type Benchmark, latencies } from "../benchmark.ts";
import type { Site } from "../ground.ts";
import { launch, stamps } from "../orders.ts";
import { supervisedSite } from "../supervised.ts";

const agents = 10;
const kills = 10;
/** Longer than the supervisor takes a death for one of the start (local/keep-up.ts), after which it waits before the next try. */
const lifeMs = 6_000;

export const recovery: Benchmark = {
  name: "recovery",
  what: `kill -9 of the host worker while ${agents} agents speak 20 times a second, until its successor, started by the supervisor, has committed the first piece of each session. Lost and twice: pieces, over all kills`,
  units: { p50: "ms", p99: "ms", max: "ms", lost: "pieces", twice: "pieces" },
  targets: [
    { figure: "p50", of: "value", most: 3_000 },
    { figure: "max", of: "value", most: 5_000 },
    { figure: "lost", of: "value", most: 0 },
    { figure: "twice", of: "value", most: 0 },
  ],
  open,
};

async function open() {
  const { site, running, close } = await supervisedSite(agents);
  return { product: () => round(site, () => running.run().parts["host"]!), close };
}

async function round(site: Site, hostNow: () => { pid: number; startedAt: string }) {
  const perSecond = 20;
  // Enough to speak through all kills, with the time in between.
  const count = ((kills * (lifeMs + 6_000)) / 1_000) * perSecond;
  const sessions = await Promise.all(Array.from({ length: agents }, () => launch(site, { deltas: count, perSecond })));
  const heads = async () =>
    new Map(
      (
        await site.baton.query<{ session_ulid: string; owner: string; last_delta: string }>(
          "select session_ulid, owner, last_delta from head where session_ulid = any($1)",
          [sessions],
        )
      ).map((row) => [row.session_ulid, { owner: row.owner, delta: Number(row.last_delta) }]),
    );
  await site.baton.eventually("all speak", async () => [...(await heads()).values()].every((head) => head.delta > 5), 60_000);
  const samples: number[] = [];
  for (let n = 0; n < kills; n += 1) {
    await sleep(lifeMs + Math.random() * 1_000);
    const before = await heads();
    const { pid } = hostNow();
    const killed = performance.now();
    process.kill(pid, "SIGKILL");
    const claimed = new Map<string, number>();
    const waiting = new Set(sessions);
    while (waiting.size > 0) {
      for (const [session, head] of await heads()) {
        if (!waiting.has(session) || head.owner === before.get(session)?.owner) continue;
        // What the killed one still had on its way may come in after its death: only what follows the new claim counts.
        if (!claimed.has(session)) claimed.set(session, head.delta);
        else if (head.delta > claimed.get(session)!) {
          waiting.delete(session);
          samples.push(performance.now() - killed);
        }
      }
      if (performance.now() - killed > 60_000) throw new Error(`${waiting.size} sessions were not taken over in 60 s`);
      await sleep(5);
    }
  }
  for (const session of sessions) await site.baton.turnsEnded(session, 1, 120_000);
  let lost = 0;
  let twice = 0;
  for (const session of sessions) {
    const rows = await site.baton.query<{ text: string }>("select text from delta where session_ulid = $1 order by seq", [session]);
    const pieces = rows.flatMap((row) => stamps(row.text));
    lost += count - new Set(pieces).size;
    twice += pieces.length - new Set(pieces).size;
    await site.baton.closeSession(session);
  }
  return { ...latencies(samples), lost, twice };
}
