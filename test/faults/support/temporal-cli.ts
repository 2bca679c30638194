import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** Runs Temporal's own program against the test server, as an operator would. Rejects with what it printed. */
export async function temporalCli(...args: string[]): Promise<string> {
  const running = promisify(execFile)(
    process.env["TEST_TEMPORAL_BINARY"] ?? "temporal",
    [...args, "--address", process.env["TEST_TEMPORAL_ADDRESS"] ?? "", "--namespace", "default"],
    { timeout: 20_000, killSignal: "SIGKILL" },
  );
  // `workflow delete` asks whether it may.
  running.child.stdin?.on("error", () => undefined).end("y\n");
  const { stdout } = await running;
  return stdout;
}

/** Sends a Signal to a session's workflow; `input` is JSON text. */
export const signalByHand = (workflowId: string, name: string, input: string): Promise<string> =>
  temporalCli("workflow", "signal", "--workflow-id", workflowId, "--name", name, "--input", input);
