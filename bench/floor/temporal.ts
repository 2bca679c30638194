import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { Client, Connection } from "@temporalio/client";
import { DefaultLogger, NativeConnection, Runtime, Worker } from "@temporalio/worker";
import type { Ground } from "../ground.ts";

/** The raw server: a workflow with one activity, started by a client. */
export interface RawTemporal {
  /** ms from the client's call to the activity's first line */
  startToActivity(): Promise<number>;
  /** ms from a signal to a waiting workflow to the first line of the activity it schedules */
  signalToActivity(): Promise<number>;
  close(): Promise<void>;
}

export async function openRawTemporal(ground: Ground): Promise<RawTemporal> {
  Runtime.install({ shutdownSignals: [], logger: new DefaultLogger("ERROR") });
  const taskQueue = `floor-${randomUUID()}`;
  const native = await NativeConnection.connect({ address: ground.temporalAddress });
  let touched = Promise.withResolvers<number>();
  const worker = await Worker.create({
    connection: native,
    taskQueue,
    workflowsPath: join(import.meta.dirname, "no-op.ts"),
    activities: { touch: async () => touched.resolve(performance.now()) },
  });
  const running = worker.run();
  const connection = await Connection.connect({ address: ground.temporalAddress });
  const client = new Client({ connection });
  const waiting = await client.workflow.start("activityPerSignal", { taskQueue, workflowId: randomUUID() });
  return {
    async startToActivity() {
      touched = Promise.withResolvers();
      const started = performance.now();
      const handle = await client.workflow.start("oneActivity", { taskQueue, workflowId: randomUUID() });
      const at = await touched.promise;
      await handle.result();
      return at - started;
    },
    async signalToActivity() {
      touched = Promise.withResolvers();
      const started = performance.now();
      await waiting.signal("go");
      return (await touched.promise) - started;
    },
    async close() {
      await waiting.signal("end");
      await waiting.result();
      worker.shutdown();
      await running;
      await connection.close();
      await native.close();
    },
  };
}
