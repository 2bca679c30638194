import type { ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openTestBaton, type TestBaton } from "../faults/support/launch.ts";
import { kill } from "../faults/support/on-stack.ts";
import { openStack, type Stack } from "../faults/support/stack.ts";
import { agentProcesses } from "../faults/support/auditor.ts";
import type { StopPlan } from "../faults/support/host-under-test.ts";
import type { Met } from "./counters.ts";
import type { Fault } from "./plan.ts";

/** A stack whose processes are restarted when they die, as the supervisor would. Plans run on it one after the other. */
export interface Lane {
  readonly stack: Stack;
  readonly baton: TestBaton;
  /** Does what the fault says and returns when its part is over; `sessions` are the plan's. */
  strike(fault: Fault, sessions: (string | undefined)[]): Promise<void>;
  /** Waits for an engine and a host that are up and have no stop plan. Sentences about processes that behaved wrongly since the last time. */
  recover(): Promise<string[]>;
  readonly runnerKills: number;
  close(): Promise<void>;
}

const numbers = { BATON_HOST_BEAT_TIMEOUT_MS: "4000", BATON_HOST_LEASE_MS: "2000", BATON_HOST_LEASE_RENEW_MS: "400", BATON_STOP_GRACE_MS: "300" };

export async function openLane(met: Met): Promise<Lane> {
  const stack = await openStack(numbers);
  mkdirSync(join(stack.home, "presets"));
  writeFileSync(join(stack.home, "presets", "model.json"), JSON.stringify({ key: "model", providerType: "scripted", permissions: { mode: "ask" } }));
  let engine = await stack.startEngine();
  const baton = await openTestBaton(stack);
  await baton.query(refusal);
  const leads = async (pid: number | undefined): Promise<boolean> => (await baton.query<{ pid: number }>("select pid from host"))[0]?.pid === pid;
  /** Does not wait until it is ready: what it says while it adopts is counted too. */
  const startHost = async (stop?: { stop: StopPlan; fired: string }): Promise<ChildProcess> => {
    const child = await stack.startHost({ ...stop, standby: true });
    child.stdout?.on("data", (text: string) => {
      met["a former owner was refused"] += count(text, '"turn let go"');
      met["a second host adopted a turn"] += count(text, '"turn adopted"');
    });
    return child;
  };
  /** ... until it is the one that works here, or gone. */
  const up = (child: ChildProcess, what: string): Promise<void> => baton.eventually(what, async () => dead(child) || (await leads(child.pid)), 60_000);
  let host = await startHost();
  await up(host, "the first host worker is up");
  const wrong: string[] = [];
  /** faults and restarts, one after the other: each must know which process is up */
  let last: Promise<unknown> = Promise.resolve();
  let fired = "";
  let fires = 0;
  let runnerKills = 0;
  let closing = false;

  function inTurn<T>(body: () => Promise<T>): Promise<T> {
    const mine = last.then(body);
    last = mine.catch(() => undefined);
    return mine;
  }

  /** One supervisor step: a host that died is replaced. */
  async function revive(): Promise<void> {
    if (!dead(host)) return;
    host = await startHost();
    await up(host, "a host worker that was started again is up");
  }
  const supervising = (async () => {
    for (; !closing; await sleep(50))
      await inTurn(revive).catch((error: unknown) => wrong.push(`a host worker did not start: ${String(error).slice(0, 2_000)}`));
  })();

  async function freeze(): Promise<void> {
    const old = host;
    old.kill("SIGSTOP");
    host = await startHost();
    await up(host, "another host worker takes over from the frozen one");
    await sleep(300);
    old.kill("SIGCONT");
    await baton.eventually("the resumed host worker leaves", async () => dead(old), 60_000);
    if (old.exitCode === 75) met["a former owner was refused"] += 1;
    else wrong.push(`a resumed host worker left with code ${old.exitCode}, signal ${old.signalCode}`);
  }

  async function strikeRunner(sessionUlid: string | undefined): Promise<void> {
    const [row] = await baton.query<{ pid: number }>("select pid from runner where session_ulid = $1 and ended_at is null and pid > 0", [sessionUlid ?? ""]);
    if (!row) return;
    runnerKills += 1;
    try {
      process.kill(row.pid, "SIGKILL");
    } catch {
      /* it ended meanwhile */
    }
  }

  return {
    stack,
    baton,
    get runnerKills() {
      return runnerKills;
    },
    strike: (fault, sessions) =>
      inTurn(async () => {
        switch (fault.fault) {
          case "kill host":
            await kill(host);
            await sleep(fault.downMs);
            return revive();
          case "kill engine":
            await kill(engine);
            await sleep(fault.downMs);
            engine = await stack.startEngine();
            return;
          case "freeze host":
            if (!dead(host)) await freeze();
            return;
          case "two hosts": {
            const second = await startHost();
            await sleep(fault.aliveMs);
            await kill(host);
            host = second;
            return up(second, "the host worker that stood by takes over");
          }
          case "stop point":
            await kill(host);
            fired = join(stack.home, `fired-${++fires}`);
            host = await startHost({ stop: { name: fault.name, hit: fault.hit, action: fault.action }, fired });
            return up(host, "the host worker with a stop plan is up");
          case "kill runner":
            return strikeRunner(sessions[fault.session]);
        }
      }),
    async recover() {
      // A stop plan that was not met must not strike the next plan.
      if (fired !== "" && !existsSync(fired)) writeFileSync(fired, "never met");
      await baton.eventually("a host worker that is up", async () => !dead(host) && (await leads(host.pid)), 60_000);
      return wrong.splice(0);
    },
    async close() {
      closing = true;
      await supervising;
      const rows = await baton.query<{ session_ulid: string }>("select session_ulid from session").catch(() => []);
      await baton.close();
      await stack.close();
      // Of a plan that failed: nothing of it may disturb what runs after it.
      for (const { pid } of agentProcesses(rows.map((row) => row.session_ulid))) process.kill(pid, "SIGKILL");
    },
  };
}

/** Stands for whatever makes Postgres refuse a row: all that agents can say is made storable before. */
const refusal = `
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'poison' using errcode = '22P05'; end $$;
create trigger refuse before insert on event for each row when (new.type = 'plan.updated') execute function refuse()`;

const dead = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

const count = (text: string, words: string): number => text.split(words).length - 1;
