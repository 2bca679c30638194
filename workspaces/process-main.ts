/**
 * Git's own process on a host: `process-main.ts <home>`, spoken to over Node's IPC. Starting a program copies the page tables of
 * whoever starts it: from a worker of 250 MB each of a dozen gits takes three times as long as from here, and stops the worker meanwhile.
 */
import { flushCompileCache } from "node:module";
import { BatonError } from "../contracts/failures.ts";
import type { Workspaces } from "../contracts/workspaces.ts";
import { openWorkspaces } from "./open-workspaces.ts";
import type { GitAnswer, GitRequest } from "./process-client.ts";

const workspaces = openWorkspaces({ home: process.argv[2] ?? "", environment: process.env });

process.on("message", (request: GitRequest) => {
  const method = workspaces[request.method] as (argument: unknown) => ReturnType<Workspaces[keyof Workspaces]>;
  method(request.argument).then(
    (value) => answer({ id: request.id, value }),
    (error: unknown) => {
      const { message, stack } = error as Error;
      answer({
        id: request.id,
        error: error instanceof BatonError ? { message, code: error.code, detail: error.detail } : { message, ...(stack ? { stack } : {}) },
      });
    },
  );
});
// Who started us is gone: what git does at the moment it finishes by itself, as after any death.
process.on("disconnect", () => process.exit(0));
for (const name of ["SIGINT", "SIGHUP"] as const) process.on(name, () => undefined);
setTimeout(flushCompileCache, 500).unref();

function answer(message: GitAnswer): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}
