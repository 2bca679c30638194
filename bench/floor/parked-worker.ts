/** A bare worker whose workflows wait: `node parked-worker.ts <address> <queue>`. Prints `ready`. */
import { join } from "node:path";
import { DefaultLogger, NativeConnection, Runtime, Worker } from "@temporalio/worker";

const [, , address = "", taskQueue = ""] = process.argv;
Runtime.install({ logger: new DefaultLogger("ERROR") });
const connection = await NativeConnection.connect({ address });
const worker = await Worker.create({
  connection,
  taskQueue,
  workflowsPath: join(import.meta.dirname, "no-op.ts"),
  activities: { touch: async () => undefined },
});
const running = worker.run();
console.log("ready");
await running;
await connection.close();
