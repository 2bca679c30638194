import { setTimeout as sleep } from "node:timers/promises";
import type { Benchmark, Figures } from "../benchmark.ts";
import type { Site } from "../ground.ts";
import { descriptors, residentMb, zombies } from "../memory.ts";
import { launch, prompt, stamps } from "../orders.ts";
import { type Supervised, supervisedSite } from "../supervised.ts";

const minutes = Number(process.env["BATON_SOAK_MINUTES"] ?? 30);
const agents = 50;
const kills = 10;
const perSecond = 5;
/** a turn's pieces: 30 s */
const count = 30 * perSecond;

export const soak: Benchmark = {
  name: "soak",
  what: `${minutes} minutes (BATON_SOAK_MINUTES), ${agents} sessions that speak ${perSecond} times a second, turn after turn, ${kills} kill -9 of the host worker: growth after the first sixth, and pieces lost or twice over all of it`,
  units: {
    "engine MB/min": "",
    "gateway MB/min": "",
    "host MB most": "",
    "descriptors +": "",
    "connections +": "",
    zombies: "",
    lost: "pieces",
    twice: "pieces",
    turns: "",
  },
  rounds: 1,
  targets: [
    { figure: "engine MB/min", of: "value", most: 0.5 },
    { figure: "gateway MB/min", of: "value", most: 0.5 },
    { figure: "descriptors +", of: "value", most: 5 },
    { figure: "connections +", of: "value", most: 5 },
    { figure: "zombies", of: "value", most: 0 },
    { figure: "lost", of: "value", most: 0 },
    { figure: "twice", of: "value", most: 0 },
  ],
  async open() {
    const { site, running, close } = await supervisedSite(agents);
    return { product: () => product(site, running), close };
  },
};

interface Sample {
  minute: number;
  engine: number;
  gateway: number;
  host: number;
  descriptors: number;
  connections: number;
  zombies: number;
}

async function product(site: Site, running: Supervised): Promise<Figures> {
  const started = performance.now();
  const minute = (): number => (performance.now() - started) / 60_000;
  const sessions: string[] = [];
  for (let n = 0; n < agents; n += 1) sessions.push(await launch(site, { deltas: count, perSecond }));
  const turns = new Map(sessions.map((session) => [session, 1]));
  const speaking = sessions.map(async (session) => {
    for (;;) {
      await site.baton.turnsEnded(session, turns.get(session)!, 180_000);
      if (minute() > minutes) return;
      await prompt(site, session, { deltas: count, perSecond });
      turns.set(session, turns.get(session)! + 1);
    }
  });
  const samples: Sample[] = [];
  let killed = 0;
  while (minute() < minutes) {
    await sleep(Math.min(10_000, minutes * 2_000));
    const sample = await look(site, running, minute()).catch(() => null); // a part that was killed a moment ago
    if (sample) samples.push(sample);
    if (killed < kills && minute() > ((killed + 1) * minutes) / (kills + 1)) {
      killed += 1;
      process.kill(running.run().parts["host"]!.pid, "SIGKILL");
      console.error(`soak: minute ${minute().toFixed(1)}, kill ${killed}, ${JSON.stringify(samples.at(-1))}`);
    }
  }
  await Promise.all(speaking);
  let lost = 0;
  let twice = 0;
  for (const session of sessions) {
    // The pieces of former turns are gone by then: what they came to is in the messages.
    const rows = await site.baton.query<{ text: string }>(
      "select data->>'text' as text from event where session_ulid = $1 and type = 'message.completed' order by seq",
      [session],
    );
    const pieces = rows.flatMap((row) => stamps(row.text));
    lost += turns.get(session)! * count - new Set(pieces).size;
    twice += pieces.length - new Set(pieces).size;
  }
  const steady = samples.filter((sample) => sample.minute > minutes / 6);
  const growth = (of: (sample: Sample) => number): number => average(steady.slice(-3).map(of)) - average(steady.slice(0, 3).map(of));
  return {
    "engine MB/min": slope(steady.map((sample) => [sample.minute, sample.engine])),
    "gateway MB/min": slope(steady.map((sample) => [sample.minute, sample.gateway])),
    "host MB most": Math.max(...steady.map((sample) => sample.host)),
    "descriptors +": growth((sample) => sample.descriptors),
    "connections +": growth((sample) => sample.connections),
    zombies: Math.max(...samples.map((sample) => sample.zombies)),
    lost,
    twice,
    turns: [...turns.values()].reduce((sum, one) => sum + one, 0),
  };
}

async function look(site: Site, running: Supervised, minute: number): Promise<Sample> {
  const run = running.run();
  const pid = (part: string): number => run.parts[part]!.pid;
  const [row] = await site.baton.query<{ n: string }>("select count(*) n from pg_stat_activity where datname = current_database()");
  return {
    minute,
    engine: residentMb(pid("engine")),
    gateway: residentMb(pid("gateway")),
    host: residentMb(pid("host")),
    descriptors: descriptors(pid("engine")) + descriptors(pid("gateway")) + descriptors(pid("host")),
    connections: Number(row?.n),
    zombies: zombies([run.pid, pid("host"), pid("engine"), pid("gateway")]),
  };
}

const average = (values: number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;

/** Least squares. */
function slope(points: (readonly [number, number])[]): number {
  const [mx, my] = [average(points.map(([x]) => x)), average(points.map(([, y]) => y))];
  return points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}
