import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where a conversation stands; `step` and `done` (of a numbered step) only count while a turn is being played. `cancelled`: the prompt of the turn that was cancelled in the middle. */
export interface Place {
  turn: number;
  playing: number | null;
  step: number;
  done: number;
  cost: number;
  cancelled: string | null;
  /** fields of what its calls were answered, the newest of each name */
  answers?: Record<string, unknown>;
}

export interface HomeFiles {
  /** null: no such conversation */
  place(sessionId: string): Place | null;
  keep(sessionId: string, place: Place): void;
  /** One line of agent.log: when, who, what. */
  log(text: string): void;
  emitted(n: number): void;
}

/** The agent's memory under its HOME. A file per conversation: agents that share a HOME do not overwrite each other. */
export function homeFiles(home: string): HomeFiles {
  mkdirSync(home, { recursive: true });
  const file = (sessionId: string): string => join(home, `scripted-agent.${sessionId.replaceAll(/[^\w-]/g, "_")}.json`);
  return {
    place: (sessionId) => (existsSync(file(sessionId)) ? (JSON.parse(readFileSync(file(sessionId), "utf8")) as Place) : null),
    keep(sessionId, place) {
      // Renamed into place: a kill in the middle leaves the old one.
      writeFileSync(`${file(sessionId)}.${process.pid}`, JSON.stringify(place));
      renameSync(`${file(sessionId)}.${process.pid}`, file(sessionId));
    },
    log(text) {
      appendFileSync(join(home, "agent.log"), `${new Date().toISOString()} ${process.pid} ${text}\n`);
    },
    emitted(n) {
      appendFileSync(join(home, "emitted.log"), `${n}\n`);
    },
  };
}
