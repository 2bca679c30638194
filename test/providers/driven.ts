import { join } from "node:path";
import type { EventData, EventType } from "../../contracts/event.ts";
import type { LaunchSpec, ProviderSession, TurnEnd } from "../../contracts/provider.ts";
import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import { acpDriver } from "../../providers/acp.ts";
import { newUlid } from "../../providers/ulid.ts";
import type { ToldTurn } from "../support/told-agent.ts";

/** The real driver with an agent that says what it is told. */
export interface Driven {
  session: ProviderSession;
  prompt(turnId: string): Promise<TurnEnd>;
  records: SpoolRecord[];
  events<T extends EventType>(type: T): EventData[T][];
}

const open: ProviderSession[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((session) => session.close(1_000)));
});

export async function driven(turns: ToldTurn[], changes: Partial<LaunchSpec> = {}): Promise<Driven> {
  const records: SpoolRecord[] = [];
  const session = await acpDriver.open(
    {
      sessionUlid: newUlid(),
      runnerId: newUlid(),
      provider: "acp",
      command: [process.execPath, join(import.meta.dirname, "../support/told-agent.ts"), JSON.stringify({ turns })],
      cwd: process.cwd(),
      env: {},
      permissionMode: "ask",
      stallMs: 60_000,
      ...changes,
    },
    { write: (record) => void records.push(record), raw: () => ({ file: "", offset: 0, bytes: 0 }) },
  );
  open.push(session);
  return {
    session,
    prompt: (turnId) => session.prompt(turnId, `I-${turnId}`, "go"),
    records,
    events: <T extends EventType>(type: T) =>
      records.flatMap((one) => (one.kind === "event" && one.event.type === type ? [one.event.data as EventData[T]] : [])),
  };
}
