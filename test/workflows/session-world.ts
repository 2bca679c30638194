import type { RunTurnArgs } from "../../contracts/messages.ts";
import { until } from "../support/until.ts";
import { done, openTrial } from "./trial.ts";

type Trial = Awaited<ReturnType<typeof openTrial>>;

/** A trial for all sessions of the file, from before its first test until behind its last, and others for one test alone. */
export function onSessions() {
  const others: Trial[] = [];
  const on = {
    trial: undefined as unknown as Trial,
    /** what `runTurn` does, by turn; a turn that is not here completes at once */
    turns: new Map<string, (a: RunTurnArgs) => Promise<ReturnType<typeof done>>>(),
    turnsOf: (sessionUlid: string): RunTurnArgs[] => (on.trial.of("runTurn") as RunTurnArgs[]).filter((a) => a.sessionUlid === sessionUlid),
    failedOf: (sessionUlid: string): { inputIds: string[]; reason: string }[] =>
      (on.trial.of("failInputs") as { sessionUlid: string; inputIds: string[]; reason: string }[]).filter((a) => a.sessionUlid === sessionUlid),
    /** for one test alone, without a host; closed behind it, whether it passes or not */
    async openAnother(activities: Parameters<typeof openTrial>[0]): Promise<Trial> {
      const other = await openTrial(activities);
      others.push(other);
      return other;
    },
  };
  beforeAll(async () => {
    on.trial = await openTrial({ runTurn: (a) => (on.turns.get(a.turnId) ?? (async () => done(a.turnId)))(a) });
    await on.trial.startHost();
  });
  afterEach(() => Promise.all(others.splice(0).map((other) => other.close())));
  afterAll(() => on.trial.close());
  return on;
}

/** Waits until nothing runs and nothing waits in a session. */
export async function idle(handle: { query(name: string): Promise<unknown> }): Promise<void> {
  await until("idle", async () => {
    const state = (await handle.query("state")) as { turnId: string | null; waiting: string[] };
    return state.turnId === null && state.waiting.length === 0;
  });
}
