import { setTimeout as sleep } from "node:timers/promises";
import { BatonError } from "../contracts/failures.ts";
import type { TurnEnd } from "../contracts/provider.ts";
import { Fenced, type HostDeps } from "./deps.ts";
import { type HeldTurn, interrupted } from "./held-turn.ts";
import type { WorkspaceMaker } from "./make-workspace.ts";

/** Git trouble that may pass gets so many tries. */
const mostTries = 3;

/** The session can have no workspace, so none of its turns an agent. Written down already. */
export class WorkspaceFailed extends Error {
  constructor(message: string) {
    super(message);
    this.name = "WorkspaceFailed";
  }
}

/**
 * The workspace of a session that has none yet, made in its first turn. An abort does not wait for git: the turn's end.
 * Null: it is there, and `held.session` says so. Throws WorkspaceFailed, Fenced.
 */
export async function firstWorkspace(deps: HostDeps, workspaces: WorkspaceMaker, held: HeldTurn): Promise<TurnEnd | null> {
  if (held.session.workspace === "ready") return null;
  const left = AbortSignal.any([held.abort.signal, held.drop.signal]);
  const leaving = Promise.withResolvers<"left">();
  const leave = (): void => leaving.resolve("left");
  if (left.aborted) leave();
  else left.addEventListener("abort", leave, { once: true });
  try {
    if ((await Promise.race([make(deps, workspaces, held, left), leaving.promise])) === "left") {
      if (held.drop.signal.aborted) throw new Fenced("workspace");
      return interrupted();
    }
  } finally {
    left.removeEventListener("abort", leave);
  }
  held.session = (await deps.store.sessions.get(held.turn.sessionUlid)) ?? held.session;
  return null;
}

async function make(deps: HostDeps, workspaces: WorkspaceMaker, { session }: HeldTurn, left: AbortSignal): Promise<void> {
  for (let tries = 1; ;) {
    try {
      await workspaces.make(session);
      return;
    } catch (error) {
      if (left.aborted) return;
      // Postgres is away: that is nobody's failure, and takes as long as it takes.
      const away = error instanceof BatonError && error.detail.retryable === true;
      if (!away && (error instanceof BatonError || tries >= mostTries)) {
        await deps.store.sessions.workspaceFailed(session.sessionUlid, (error as Error).message);
        throw new WorkspaceFailed((error as Error).message);
      }
      deps.log.warn({ sessionUlid: session.sessionUlid, error: String(error) }, "the workspace could not be made; repeating");
      if (!away) tries += 1;
      await sleep(1_000 * tries);
      // The turn has its end, and the session may even be purged by now.
      if (left.aborted) return;
    }
  }
}
