import { servers } from "./servers.ts";

/** Ends what the global setup started. */
export default async function teardown(): Promise<void> {
  await servers.stop();
}
