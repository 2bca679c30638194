import { createHash } from "node:crypto";
import { ulid } from "ulid";
import type { Config } from "../contracts/config.schema.ts";
import { BatonError } from "../contracts/failures.ts";
import type { SessionActivities } from "../contracts/messages.ts";
import { effect } from "./failure.ts";
import { startWoken, type Waker } from "./start-woken.ts";

/** Who an input is from when it came by a Signal from Temporal's own UI or CLI. */
const operator = "operator";

/** Effects of the session workflow. Each may run twice or at the same time as its twin: the rows decide. */
export function createSessionActivities(deps: Waker & { config: Config }): SessionActivities {
  const { store, config } = deps;
  return {
    recordOperatorInput: ({ sessionUlid, requestId, prompt, delivery }) =>
      effect(async () => {
        const found = await store.sessions.get(sessionUlid);
        // Of a purged one nobody reads a notice.
        if (found === null || found.purge !== null) return null;
        const key = `${sessionUlid}/${requestId}`;
        const fingerprint = `operator-input.1:${createHash("sha256")
          .update(JSON.stringify([prompt, delivery]))
          .digest("hex")}`;
        let recorded: { inputId: string };
        try {
          const { ids } = await store.recordRequest(
            { principal: operator, scope: "input", key, fingerprint },
            { principal: operator, actor: operator, action: "session.input", target: sessionUlid, detail: { requestId } },
            async (tx) => {
              // The workflow that took the Signal may have just written its session's end.
              const woken = await store.sessions.wake(tx, sessionUlid);
              if (woken?.workspace === "failed") throw new BatonError("CONFLICT_STATE", "The session's workspace could not be made, it cannot go on.");
              const { row } = await store.inputs.insert(tx, {
                inputId: ulid(),
                sessionUlid,
                prompt,
                delivery,
                source: operator,
                requestId: key,
                limit: config.inputQueue,
              });
              return { inputId: row.inputId };
            },
          );
          recorded = ids;
        } catch (error) {
          if (!(error instanceof BatonError) || error.detail.retryable === true || error.code === "INTERNAL") throw error;
          // Nobody waits for an answer to a Signal: the refusal is a fact of the session.
          await store.events.append(sessionUlid, [
            {
              key: `operator-input-refused/${requestId}`,
              event: { type: "notice.raised", data: { message: `An operator's input was refused (${error.code}): ${error.message}` } },
            },
          ]);
          return null;
        }
        await startWoken(deps, sessionUlid);
        return recorded;
      }),
    failInputs: ({ sessionUlid, inputIds, reason }) => effect(() => store.inputs.fail(sessionUlid, inputIds, reason)),
    closeIfIdle: (a) =>
      effect(async () => {
        if (await store.transaction((tx) => store.sessions.endIfIdle(tx, a))) return true;
        // By the activity before this one, whose answer was lost.
        const row = await store.sessions.get(a.sessionUlid);
        return row !== null && (row.generation > a.generation || row.closedAt !== null);
      }),
    endSession: (a) =>
      effect(async () => {
        await store.sessions.end(a);
        await startWoken(deps, a.sessionUlid);
      }),
  };
}
