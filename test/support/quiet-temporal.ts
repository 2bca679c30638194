import { DefaultLogger, Runtime } from "@temporalio/worker";

/** Call once at the top of each test file that makes a Worker: else the Temporal runtime eats Ctrl-C of the whole run and prints 30 lines a worker. */
export function quietTemporal(): void {
  Runtime.install({ shutdownSignals: [], logger: new DefaultLogger("WARN") });
}
