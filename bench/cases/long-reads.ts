import { setTimeout as sleep } from "node:timers/promises";
import { openStore } from "../../store/open-store.ts";
import { type Benchmark, type Figures, median } from "../benchmark.ts";
import { type Door, openDoor } from "../door.ts";
import type { Site } from "../ground.ts";
import { residentMb } from "../memory.ts";
import { addBenchAgent, launch } from "../orders.ts";

const megabytes = 50;
const messageBytes = 20_000;
const readers = 4;
/** the first ones fill what a process keeps: compiled code, pools, the heap's room */
const warm = 2;
const measured = 8;

/** Of V8's old space. With all the room of the machine it collects so seldom that a leak of tens of megabytes would not be seen. */
const heapMb = 128;

/** What the gateway holds while a long transcript is read from end to end. */
export const longReads: Benchmark = {
  name: "long-reads",
  what: `the memory of a gateway with a heap of at most ${heapMb} MB, while ${readers} MCP clients read a transcript of ${megabytes} MB from its first event to its last, page by page with the largest pages, ${measured} times after ${warm} times to warm up. Growth: the least that is resident after a time, of the second half of them above the first half (collections come when they come). Peak: above the least. And the largest answer`,
  units: { "growth MB": "", "peak MB": "", "answer KB": "", "MB read": "", "MB resident": "" },
  rounds: 1,
  targets: [
    { figure: "growth MB", of: "value", most: 16 },
    { figure: "peak MB", of: "value", most: 150 },
    { figure: "answer KB", of: "value", most: 250 },
  ],
  async open(ground) {
    const site = await ground.baton({ gateway: true, numbers: { NODE_OPTIONS: `--max-old-space-size=${heapMb}` } });
    addBenchAgent(site);
    const session = await launch(site, { tools: 1 });
    await site.baton.turnsEnded(session, 1, 60_000);
    await fill(site, session);
    const doors = await Promise.all(Array.from({ length: readers }, () => openDoor(site)));
    return {
      product: () => product(site, doors, session),
      async close() {
        await Promise.all(doors.map((door) => door.close()));
        await site.close();
      },
    };
  },
};

/** The agent would take minutes to say as much. */
async function fill(site: Site, session: string): Promise<void> {
  const store = await openStore({ databaseUrl: site.stack.databaseUrl, instance: site.stack.env["BATON_INSTANCE"] ?? "" });
  const text = "what an agent says, a line of it\n".repeat(messageBytes / 33);
  for (let n = 0; n < (megabytes * 1_000_000) / messageBytes; n += 1)
    await store.events.append(session, [{ key: `long-${n}`, event: { type: "message.completed", data: { text: `${n}: ${text}` } } }]);
  await store.close();
}

async function product(site: Site, doors: Door[], session: string): Promise<Figures> {
  const now = (): number => residentMb(site.pids.gateway);
  let answer = 0;
  let read = 0;
  const pass = () =>
    Promise.all(
      doors.map(async (door) => {
        for (let sinceSeq = 0, end = false; !end;) {
          const page = await door.call("pm_session", { action: "events", sessionUlid: session, sinceSeq, limit: 1_000, maxBytes: 204_800 });
          const bytes = Buffer.byteLength(JSON.stringify(page));
          answer = Math.max(answer, bytes);
          read += bytes;
          end = page["nextSeq"] === page["lastSeq"];
          sinceSeq = Number(page["nextSeq"]);
        }
      }),
    );
  for (let n = 0; n < warm; n += 1) await pass();
  const after: number[] = [];
  let peak = 0;
  const look = setInterval(() => (peak = Math.max(peak, now())), 50);
  for (let n = 0; n < measured; n += 1) {
    await pass();
    after.push(await settled(now));
  }
  clearInterval(look);
  const first = Math.min(...after.slice(0, measured / 2));
  const second = Math.min(...after.slice(measured / 2));
  return { "growth MB": second - first, "peak MB": peak - first, "answer KB": answer / 1_024, "MB read": read / 1e6, "MB resident": second };
}

/** Of some seconds at rest. */
async function settled(now: () => number): Promise<number> {
  const looks: number[] = [];
  for (let n = 0; n < 20; n += 1) {
    await sleep(200);
    looks.push(now());
  }
  return median(looks);
}
