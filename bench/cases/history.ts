import { Client, Connection } from "@temporalio/client";
import { setTimeout as sleep } from "node:timers/promises";
import type { Benchmark } from "../benchmark.ts";
import { addBenchAgent, launch, prompt } from "../orders.ts";

export const history: Benchmark = {
  name: "history",
  what: "events and bytes that a turn adds to its session's history in Temporal: the first one with all that opens a session, a later one, and a later one whose agent says 10,000 things",
  units: { "first events": "", "first bytes": "", events: "", bytes: "", "events of 10,000": "", "bytes of 10,000": "" },
  rounds: 1,
  targets: [
    { figure: "events", of: "value", most: 15 },
    { figure: "bytes", of: "value", most: 12_288 },
    { figure: "events of 10,000", of: "value", most: 15 },
  ],
  async open(ground) {
    const site = await ground.baton();
    addBenchAgent(site);
    const connection = await Connection.connect({ address: ground.temporalAddress });
    const client = new Client({ connection });
    return {
      async product() {
        const session = await launch(site, { tools: 10 });
        const [row] = await site.baton.query<{ workflow_id: string }>("select workflow_id from session where session_ulid = $1", [session]);
        let turns = 0;
        /** The history's size once the turn's result is in it and nothing more comes. */
        const size = async (): Promise<{ events: number; bytes: number }> => {
          turns += 1;
          await site.baton.turnsEnded(session, turns, 120_000);
          await sleep(1_000);
          const { workflowExecutionInfo: info } = await client.workflowService.describeWorkflowExecution({
            namespace: "default",
            execution: { workflowId: row!.workflow_id },
          });
          return { events: Number(info?.historyLength), bytes: Number(info?.historySizeBytes) };
        };
        const first = await size();
        await prompt(site, session, { tools: 10 });
        const second = await size();
        await prompt(site, session, { tools: 10_000 });
        const third = await size();
        return {
          "first events": first.events,
          "first bytes": first.bytes,
          events: second.events - first.events,
          bytes: second.bytes - first.bytes,
          "events of 10,000": third.events - second.events,
          "bytes of 10,000": third.bytes - second.bytes,
        };
      },
      async close() {
        await connection.close();
        await site.close();
      },
    };
  },
};
