import { setTimeout as sleep } from "node:timers/promises";
import { BatonError } from "../../contracts/failures.ts";
import { promptOf, scenarioOf } from "./agent-turns.ts";
import type { Met } from "./counters.ts";
import type { Lane } from "./lane.ts";
import type { Fact } from "./model.ts";
import type { Command, Timed } from "./plan.ts";

const caller = { principal: "local", actor: "@model" };
type Data = Record<string, unknown>;

/** One session of a plan on a lane: sends its commands and keeps what the doors said. */
export interface Driver {
  readonly key: string;
  readonly sessionUlid: string | undefined;
  readonly facts: Fact[];
  /** answers that no door may give */
  readonly wrong: string[];
  run(): Promise<void>;
  /** Answers what waits and ends what hangs; true when there is nothing left to do. */
  rest(): Promise<boolean>;
  close(): Promise<void>;
}

/** @param a.say notes a command with its time, for the report of a failure */
export function driveSession(a: { lane: Lane; key: string; commands: Timed<Command>[]; met: Met; say(text: string): void }): Driver {
  const { lane, key, commands, met } = a;
  const { sdk, query } = lane.baton;
  const facts: Fact[] = [];
  const wrong: string[] = [];
  /** keyed requests by the number of their input, to be sent again */
  const sent = new Map<number, () => Promise<Data>>();
  const answers = new Map<number, Data>();
  let sessionUlid: string | undefined;

  /** The same call once or from two callers at once; both must say the same, and one of them that it is a repeat. */
  async function call(what: string, twice: boolean, send: () => Promise<Data>): Promise<Data> {
    const given = await Promise.all(twice ? [send(), send()] : [send()]);
    const [first] = given;
    if (twice) {
      met["a request was replayed"] += 1;
      if (given.filter((one) => one["replayed"] === true).length !== 1)
        wrong.push(`${what}: of two equal calls not exactly one is a repeat: ${JSON.stringify(given)}`);
      if (given.some((one) => one["sessionUlid"] !== first?.["sessionUlid"] || one["inputId"] !== first?.["inputId"]))
        wrong.push(`${what}: two answers: ${JSON.stringify(given)}`);
    }
    return first ?? {};
  }

  async function launch(command: Command & { do: "launch" }): Promise<void> {
    const request = {
      clientRequestId: key,
      actor: "@model",
      taskKey: key,
      launcherConfigKey: "model",
      agentHandle: "executor",
      prompt: promptOf(0, command.kind),
      config: { scenario: scenarioOf(commands) },
      task: { title: key, repositoryPath: lane.stack.repository, projectKey: "MODEL" },
    };
    const send = async (): Promise<Data> => (await sdk.sessions.launch(caller, request)).data;
    sent.set(0, send);
    const answer = await call("launch", command.twice, send);
    sessionUlid = String(answer["sessionUlid"]);
    const [first] = await query<{ input_id: string }>("select input_id from input where session_ulid = $1 order by input_id limit 1", [sessionUlid]);
    answers.set(0, answer);
    facts.push({ fact: "input", inputId: first?.input_id ?? "none", kind: command.kind, delivery: "queue" });
  }

  async function input(session: string, command: Command & { do: "input" }): Promise<void> {
    const { n, kind, delivery } = command;
    const keyed = command.keyed || command.twice;
    const request = { sessionUlid: session, prompt: promptOf(n, kind), delivery, ...(keyed ? { clientRequestId: `${key}/${n}` } : {}) };
    const send = async (): Promise<Data> => (await sdk.sessions.input(caller, request)).data;
    const answer = await call(`input ${n}`, command.twice, send);
    if (keyed) {
      sent.set(n, send);
      answers.set(n, answer);
    }
    facts.push({ fact: "input", inputId: String(answer["inputId"]), kind, delivery });
  }

  /** One of the keyed requests so far. */
  const keyed = (of: number): number => [...sent.keys()][of % sent.size] ?? 0;

  async function again(of: number): Promise<void> {
    const [before, answer] = [answers.get(of), await sent.get(of)?.()];
    if (!before || !answer) return;
    met["a request was replayed"] += 1;
    if (answer["replayed"] !== true || answer["sessionUlid"] !== before["sessionUlid"] || answer["inputId"] !== before["inputId"])
      wrong.push(`the repeat of ${of} got ${JSON.stringify(answer)}, the first time it was ${JSON.stringify(before)}`);
  }

  async function mismatch(session: string, of: number): Promise<void> {
    if (of === 0) return; // a launch: its key is in another scope
    const answer = await sdk.sessions.input(caller, { sessionUlid: session, prompt: "something else", clientRequestId: `${key}/${of}` }).then(
      () => "an answer",
      (error: unknown) => (error instanceof BatonError ? error.code : String(error)),
    );
    if (answer === "IDEMPOTENCY_MISMATCH") met["a key was refused for another request"] += 1;
    else wrong.push(`the key of input ${of} with other words got ${answer}`);
  }

  async function abort(session: string, dropQueue: boolean | null, keyed = false): Promise<void> {
    const request = {
      sessionUlid: session,
      ...(dropQueue === null ? {} : { dropQueue }),
      ...(keyed ? { clientRequestId: `${key}/abort-${facts.length}` } : {}),
    };
    const answer = await sdk.sessions.abort(caller, request);
    facts.push({ fact: "abort", turnId: (answer["turnId"] as string | undefined) ?? null, dropQueue: dropQueue !== false });
    if (!keyed) return;
    // At once again: it names the same turn and must reach no other.
    const repeat = await sdk.sessions.abort(caller, request);
    met["a request was replayed"] += 1;
    if (repeat["turnId"] !== answer["turnId"]) wrong.push(`the repeat of an abort named ${repeat["turnId"]}, the first time it was ${answer["turnId"]}`);
  }

  const open = (session: string) =>
    query<{ approval_id: string }>("select approval_id from approval where session_ulid = $1 and state = 'open' order by 1", [session]);

  async function respond(session: string, decision: "allow" | "deny"): Promise<void> {
    for (const { approval_id: approvalId } of await open(session)) {
      // The second one comes too late, whatever it says.
      for (const said of [decision, decision === "allow" ? "deny" : "allow"]) {
        const answer = await sdk.sessions.respond(caller, { approvalId, decision: said });
        facts.push({ fact: "answer", approvalId, decision: said, applied: answer["applied"] === true });
        if (answer["applied"] === true) met["an approval was answered"] += 1;
      }
    }
  }

  async function one(command: Command): Promise<void> {
    if (command.do === "launch") return launch(command);
    const session = sessionUlid ?? "";
    switch (command.do) {
      case "input":
        return input(session, command);
      case "again":
        return again(keyed(command.of));
      case "mismatch":
        return mismatch(session, keyed(command.of));
      case "abort":
        return abort(session, command.dropQueue, command.keyed);
      case "close":
        await sdk.sessions.close(caller, { sessionUlid: session });
        facts.push({ fact: "close" });
        return;
      case "respond":
        return respond(session, command.decision);
      case "settle":
        for (let waited = 0; waited < 3_000 && !(await settled(session)); waited += 50) await sleep(50);
    }
  }

  /** Nothing runs and nothing waits that could run; an input after the last close must still wake the session. */
  async function settled(session: string): Promise<boolean> {
    const [row] = await query<{ closed: boolean; busy: boolean; pending: string }>(
      `select closed_at is not null or failed closed,
       exists (select 1 from turn t where t.session_ulid = s.session_ulid and t.reported_at is null) busy,
       (select count(*) from input i where i.session_ulid = s.session_ulid and i.state in ('recorded', 'accepted', 'delivering', 'delivered')) pending
       from session s where session_ulid = $1`,
      [session],
    );
    const closedLast = facts.findLast((fact) => fact.fact === "input" || fact.fact === "close")?.fact === "close";
    return row !== undefined && !row.busy && (closedLast ? row.closed : row.pending === "0");
  }

  return {
    key,
    facts,
    wrong,
    get sessionUlid() {
      return sessionUlid;
    },
    async run() {
      for (const { afterMs, what } of commands) {
        await sleep(afterMs);
        a.say(`${key}: ${JSON.stringify(what)}`);
        await one(what);
        a.say(`${key}: ${what.do} answered${what.do === "input" || what.do === "abort" ? ` ${JSON.stringify(facts.at(-1))}` : ""}`);
      }
    },
    async rest() {
      const session = sessionUlid ?? "";
      if (await settled(session)) return true;
      await respond(session, "allow");
      const [hanging] = await query<{ turn_id: string }>(
        "select turn_id from turn where session_ulid = $1 and state = 'running' and prompt_sent_at is not null",
        [session],
      );
      const kind = facts.find((fact) => fact.fact === "input" && fact.inputId === hanging?.turn_id);
      if (kind?.fact === "input" && kind.kind === "hang" && !facts.some((fact) => fact.fact === "abort" && fact.turnId === kind.inputId)) {
        a.say(`${key}: abort of ${kind.inputId}, which hangs`);
        await abort(session, false);
      }
      return false;
    },
    async close() {
      if (sessionUlid !== undefined) await lane.baton.closeSession(sessionUlid);
    },
  };
}
