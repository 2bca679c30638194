import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import { agentProcesses } from "./support/auditor.ts";
import { launchScripted } from "./support/launch.ts";
import { onStack } from "./support/on-stack.ts";

const caller = { principal: "local", actor: "@test" };
const on = onStack({ start: ["engine", "host"] });

test("an agent that is started anew for one turn's own mode: the last words of the former one are kept", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-mode`, turns: [[{ say: "one" }], [{ say: "two" }]] });
  await on.baton.turnsEnded(session, 1, 30_000);
  await on.baton.sdk.sessions.run(caller, { sessionUlid: session, prompt: "two", configuration: { mode: "ask" } });
  await on.baton.turnsEnded(session, 2, 30_000);
  expect(await on.baton.outcomes(session)).toEqual(["completed", "completed"]);
  const dir = join(on.stack.home, "runners", session);
  const spools = readdirSync(dir)
    .filter((name) => name.startsWith("spool-"))
    .toSorted();
  expect(spools).toHaveLength(2);
  const said = readFileSync(join(dir, spools[0] ?? ""), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as SpoolRecord)
    .flatMap((record) => (record.kind === "event" ? [record.event.type] : []));
  expect(said.at(-1)).toBe("process.exited");
  const stored = await on.baton.query<{ type: string }>(
    "select type from event where session_ulid = $1 and event_key is null and type = any($2) order by seq",
    [session, said],
  );
  expect(stored.map((row) => row.type).slice(0, said.length)).toEqual(said);
}, 90_000);

test("what a second attempt at a turn streams is no rest of what the first one left open", async () => {
  const session = await launchScripted(on.baton, on.stack, {
    key: `${on.stack.env["BATON_INSTANCE"]}-items`,
    turns: [[{ say: "Half of a sentence of the first, " }, { wait: 4_000 }, { say: "the second." }]],
  });
  const deltas = (): Promise<{ item_id: string }[]> => on.baton.query("select item_id from delta where session_ulid = $1 order by seq", [session]);
  await on.baton.eventually("it speaks", async () => (await deltas()).length > 0, 60_000);
  const [runner] = await on.baton.query<{ pid: number }>("select pid from runner where session_ulid = $1 and ended_at is null", [session]);
  for (const pid of [Number(runner?.pid), ...agentProcesses([session]).map((one) => one.pid)]) process.kill(pid, "SIGKILL");
  await on.baton.turnsEnded(session, 1, 60_000);
  expect(new Set((await deltas()).map((one) => one.item_id)).size).toBe(2);
}, 120_000);

test("the end of an agent between two turns is no part of the next one", async () => {
  const session = await launchScripted(on.baton, on.stack, { key: `${on.stack.env["BATON_INSTANCE"]}-between`, turns: [[{ say: "one" }], [{ say: "two" }]] });
  await on.baton.turnsEnded(session, 1, 60_000);
  for (const { pid } of agentProcesses([session])) process.kill(pid, "SIGKILL");
  await on.baton.eventually("its end", async () => agentProcesses([session]).length === 0, 10_000);
  await on.baton.sdk.sessions.input(caller, { sessionUlid: session, prompt: "two" });
  await on.baton.turnsEnded(session, 2, 60_000);
  const ends = await on.baton.query("select data->>'signal' signal, turn_id, attempt from event where session_ulid = $1 and type = 'process.exited'", [
    session,
  ]);
  expect(ends).toEqual([{ signal: "SIGKILL", turn_id: null, attempt: null }]);
  const opened = "select t.n from event e join turn t using (session_ulid, turn_id) where session_ulid = $1 and type = 'session.agent_ready' order by seq";
  expect(await on.baton.query(opened, [session])).toEqual([{ n: 1 }, { n: 2 }]);
}, 120_000);
