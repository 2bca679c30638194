import { ulid } from "ulid";
import { openStore } from "../../store/open-store.ts";
import type { LaneBatch } from "../../store/lane.ts";
import type { NewSession, SessionRow } from "../../store/rows.ts";
import type { Store } from "../../store/store.ts";
import { freshDatabase } from "../support/fresh-database.ts";

/** A store on a database of its own. */
export async function freshStore(): Promise<{ store: Store; url: string; end(): Promise<void> }> {
  const database = await freshDatabase();
  const store = await openStore({ databaseUrl: database.url, instance: "test" });
  return {
    store,
    url: database.url,
    async end() {
      await store.close();
      await database.drop();
    },
  };
}

export async function newSession(store: Store, change: Partial<NewSession> = {}): Promise<SessionRow> {
  const sessionUlid = ulid();
  return store.transaction((tx) =>
    store.sessions.insert(tx, {
      sessionUlid,
      name: `T-1/executor-${sessionUlid}`,
      workflowId: sessionUlid,
      principal: "p",
      clientRequestId: null,
      contextRef: sessionUlid,
      taskKey: null,
      projectKey: null,
      role: "executor",
      provider: "scripted",
      agentHandle: "a",
      actor: "a",
      launcherConfigKey: "k",
      presetRevision: 1,
      presetSha256: "x",
      hostId: "h",
      repositoryPath: "/r",
      worktreePath: "/w",
      branchName: "baton/T-1",
      baseRef: "main",
      systemPrompt: "",
      args: { a: 1 },
      labels: {},
      launchReason: "r",
      parentUlid: null,
      chainId: null,
      ...change,
    }),
  );
}

/** A session with a claimed turn on spool `spool`; the turn's id is its input's. */
export async function claimedTurn(store: Store, owner = "keeper-1") {
  const session = await newSession(store);
  const inputId = ulid();
  await store.transaction((tx) =>
    store.inputs.insert(tx, { inputId, sessionUlid: session.sessionUlid, prompt: "go", delivery: "queue", source: "test", requestId: null, limit: 50 }),
  );
  const claim = await store.turns.claim({
    sessionUlid: session.sessionUlid,
    turnId: inputId,
    inputId,
    generation: 1,
    attempt: 1,
    taskToken: "t",
    owner,
    minEpoch: 0,
  });
  if (claim.kind !== "claimed") throw new Error(claim.kind);
  await store.turns.switchSpool({ sessionUlid: session.sessionUlid, epoch: claim.head.epoch, owner, spoolId: "spool" });
  return { sessionUlid: session.sessionUlid, turnId: inputId, epoch: claim.head.epoch, owner };
}

/** A batch of records of ten bytes each. */
export function batch(
  turn: { sessionUlid: string; epoch: number; owner: string; turnId: string },
  start: number,
  records: LaneBatch["records"][number]["record"][],
): LaneBatch {
  return { ...turn, spoolId: "spool", start, attempt: 1, records: records.map((record, i) => ({ record, end: start + (i + 1) * 10 })) };
}
export const said = (text: string) => ({ kind: "event" as const, event: { type: "message.completed" as const, data: { role: "agent" as const, text } } });

/** A session whose agent says these things; `more` says the next, and tells where the log ends then. */
export async function talking(store: Store, ...texts: string[]) {
  const turn = await claimedTurn(store);
  let start = 0;
  const more = async (...saying: string[]) => {
    const next = batch(turn, start, saying.map(said));
    expect(await store.lane.append(next)).toMatchObject({ kind: "applied" });
    start = next.records.at(-1)!.end;
    return (await store.events.head(turn.sessionUlid))?.lastSeq ?? 0;
  };
  return { ulid: turn.sessionUlid, lastSeq: texts.length > 0 ? await more(...texts) : 0, more };
}
