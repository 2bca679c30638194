import { mkdir } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ulid } from "ulid";
import type { EffectiveLaunch } from "../contracts/preset.ts";
import type { AgentGateway } from "../contracts/provider.ts";
import type { RunnerConnection, RunnerSpec, RunnerStatus } from "../contracts/runner-protocol.ts";
import type { RunnerRow, SessionRow, TurnConfiguration } from "../store/rows.ts";
import { bootId, isAlive, startTicks } from "./boot-identity.ts";
import { agentGateway } from "./agent-gateway.ts";
import { AttemptLost, Fenced, type HostDeps } from "./deps.ts";
import { launchHash, launchSpec } from "./launch-spec.ts";
import { runnerDirectory, prepareSocketDirectory, socketPath, spoolPath } from "./runner-paths.ts";

export interface Obtained {
  connection: RunnerConnection;
  status: RunnerStatus;
  spawned: boolean;
}
/** `owner`: who holds the epoch, when it is not this worker. */
export interface ClaimOfSession {
  session: SessionRow;
  epoch: number;
  owner?: string;
  /** what holds for the turn that the runner is for */
  configuration?: TurnConfiguration | null;
  /** nobody wants the runner any more: Fenced */
  drop?: AbortSignal;
}

const uid = process.getuid?.() ?? 0;
const startGraceMs = 10_000;
const closeMs = 30_000;
/** A runner that did not hear the close is on its way out already, or hears nothing. */
const unheardMs = 5_000;

/** The session's living runner with our epoch, or null. A runner that is closing is waited for. Throws Fenced when a higher epoch owns it. */
export async function attachLiving(deps: HostDeps, claim: ClaimOfSession): Promise<Obtained | null> {
  for (const row of await livingRows(deps, claim.session.sessionUlid)) {
    const found = await attach(deps, claim, row);
    if (found) return found;
  }
  return null;
}

/** `living` (of attachLiving) if its launch is still the wanted one, else a fresh runner. */
export async function obtainRunner(deps: HostDeps, claim: ClaimOfSession, living: Obtained | null): Promise<Obtained> {
  if (living) {
    if (living.status.specHash === launchHash(claim.session, claim.configuration) || living.status.turnId !== null) return living;
    await closeRunner(deps, living, "spec_changed", claim.drop);
  }
  return spawn(deps, claim);
}

/** Asks a runner to end its agent and itself, and waits until its process is gone; a while only, if it would not go. Throws Fenced when dropped meanwhile. */
export async function closeRunner(deps: HostDeps, { connection, status }: Obtained, reason: string, drop?: AbortSignal): Promise<void> {
  const ticks = startTicks(status.pid);
  const lives = (): boolean => ticks !== null && startTicks(status.pid) === ticks;
  const heard = await connection.request({ cmd: "close", reason }).then(
    () => true,
    () => false,
  );
  for (const end = performance.now() + (heard ? closeMs : unheardMs); lives() && performance.now() < end && !drop?.aborted;) await sleep(20);
  connection.detach();
  if (lives() && drop?.aborted) throw new Fenced("close");
  // While it lives it keeps its row, by which whoever comes next finds it, and the session's lock, beside which no other agent starts.
  if (lives()) void closeLater(deps, connection, reason, lives);
  else await deps.store.runners.ended(status.runnerId);
}

/**
 * A runner that was stopped or stuck may go on, and its agent with it, at what nobody takes any more: what we told it can be lost, since a
 * connection that it writes to behind our back is cut with all that was still to be read. It is told again until it is gone, or somebody else's.
 */
async function closeLater(deps: HostDeps, connection: RunnerConnection, reason: string, lives: () => boolean): Promise<void> {
  while (lives()) {
    await sleep(1_000, undefined, { ref: false });
    try {
      const again = await connection.again();
      await again.request({ cmd: "close", reason }).finally(() => again.detach());
    } catch (error) {
      if ((error as { code?: string }).code === "fenced") return;
    }
  }
  await deps.store.runners.ended(connection.runnerId).catch(() => undefined);
}

/** Ends the runner of a session in which no turn runs; `closed`: only if the session still is; `turnId`: only if its agent is still at that turn. */
export async function endIdleRunner(deps: HostDeps, sessionUlid: string, reason: string, only: { closed?: boolean; turnId?: string } = {}): Promise<void> {
  // The head first: if the session is closed even after that, no claim is newer than this head, and one that comes later fences us.
  const head = await deps.store.events.head(sessionUlid);
  const session = await deps.store.sessions.get(sessionUlid);
  // Woken again: the next generation goes on with the runner.
  if (!head || !session || (only.closed && session.closedAt === null)) return;
  // In the name of its last owner, who may be a dead worker of this host: we hold the lease, so the session is ours.
  const living = await attachLiving(deps, { session, epoch: head.epoch, owner: head.owner ?? deps.owner });
  if (!living) return;
  if (only.turnId !== undefined && living.status.turnId !== only.turnId) return living.connection.detach();
  await closeRunner(deps, living, reason);
}

async function livingRows(deps: HostDeps, sessionUlid: string): Promise<RunnerRow[]> {
  const rows = (await deps.store.runners.live(deps.config.hostId)).filter((row) => row.sessionUlid === sessionUlid);
  return rows.toSorted((a, b) => b.runnerId.localeCompare(a.runnerId));
}

async function attach(deps: HostDeps, claim: ClaimOfSession, row: RunnerRow): Promise<Obtained | null> {
  const known = row.pid > 0;
  // Monotonic: a clock that steps back must not hold the turn for as long as the step.
  const started = performance.now();
  for (; ; await sleep(50)) {
    if (claim.drop?.aborted) throw new Fenced("attach");
    try {
      const connection = await deps.runners.attach({
        socketPath: row.socketPath,
        sessionUlid: row.sessionUlid,
        runnerId: row.runnerId,
        epoch: claim.epoch,
        owner: claim.owner ?? deps.owner,
      });
      const status = await connection.status();
      if (!status.closing) return { connection, status, spawned: false };
      // Its decision to exit is final: wait for the end, then somebody spawns anew.
      connection.detach();
      if (performance.now() - started > 30_000) return null;
      continue;
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === "fenced") throw new Fenced("attach");
      if (code === "closing" && performance.now() - started < 30_000) continue;
    }
    // A row without a pid was written just before a spawn that may still be starting up.
    const waits = performance.now() - started < startGraceMs;
    const mayStart = !known && waits && Date.now() - Date.parse(row.createdAt) < startGraceMs;
    const alive = known && isAlive({ pid: row.pid, bootId: row.bootId, startTicks: row.startTicks });
    if (mayStart || (alive && waits)) continue;
    if (!alive) await deps.store.runners.ended(row.runnerId);
    return null;
  }
}

async function spawn(deps: HostDeps, claim: ClaimOfSession): Promise<Obtained> {
  const { session, epoch } = claim;
  const runnerId = ulid();
  const hash = launchHash(session, claim.configuration);
  const launch = await launchSpec(deps, session, runnerId, claim.configuration);
  const dir = runnerDirectory(deps.config, session.sessionUlid);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await prepareSocketDirectory(deps.config, uid);
  const spec: RunnerSpec = {
    launch,
    specHash: hash,
    epoch,
    owner: deps.owner,
    uid,
    instance: deps.config.instance,
    dir,
    socketPath: socketPath(deps.config, uid, runnerId),
    stopGraceMs: deps.config.stopGraceMs,
    keepAliveMs: (session.args["effective"] as EffectiveLaunch).keepAliveMs ?? deps.config.keepAliveMs,
    orphanMs: deps.config.orphanMs,
    maxSpoolBytes: deps.config.maxSpoolBytes,
    maxEventBytes: deps.config.maxEventBytes,
  };
  const row = {
    runnerId,
    sessionUlid: session.sessionUlid,
    hostId: deps.config.hostId,
    bootId: bootId(),
    specHash: hash,
    socketPath: spec.socketPath,
    spoolPath: spoolPath(dir, runnerId),
  };
  // The row first: a runner that nobody has written down could not be found after a kill between spawn and row.
  await deps.store.runners.upsert({ ...row, pid: 0, startTicks: "" });
  await deps.stopPoint("runner.spawn.before");
  let gateway: AgentGateway | null;
  try {
    // A worker that was frozen until here must not start an agent beside its successor's. (The runner's own epoch check is the last guard.)
    const owned = await deps.store.turns.owned(deps.owner, [{ sessionUlid: session.sessionUlid, epoch }]);
    if (owned.length === 0) throw new Fenced("spawn");
    gateway = await agentGateway(deps, session, { runnerId, epoch });
  } catch (error) {
    // It was never started: whoever has the session now is not to wait for it.
    if (error instanceof Fenced) await deps.store.runners.ended(runnerId);
    throw error;
  }
  if (gateway) Object.assign(spec.launch, { gateway, secrets: [...(launch.secrets ?? []), gateway.token] });
  try {
    const connection = await deps.runners.spawn(spec, () => deps.stopPoint("runner.spawn.started"));
    await deps.stopPoint("runner.spawn.after");
    const status = await connection.status();
    await deps.store.runners.upsert({ ...row, pid: status.pid, startTicks: startTicks(status.pid) ?? "" });
    return { connection, status, spawned: true };
  } catch (error) {
    const { code } = error as { code?: string };
    // Anything else leaves it open whether a runner lives: its row stays, and whoever claims next finds out.
    if (code === "fenced") throw new Fenced("spawn"); // we were frozen meanwhile: the runner and its row are our successor's
    if (code !== "superseded" && code !== "spawn_failed") throw error;
    await deps.store.runners.ended(runnerId);
    if (code === "superseded") throw new Fenced("spawn");
    throw new AttemptLost(`the runner did not start: ${(error as Error).message}`, true);
  }
}
