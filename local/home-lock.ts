import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";

export interface HomeLock {
  release(): void;
}

/** SQLite's "database is locked". */
const busy = 5;

/**
 * One Baton per home. The lock is SQLite's on an empty file in the home: the kernel's own, freed at our death, `kill -9` included; it holds
 * between containers that share the home, and nobody who may not enter the home can take it.
 * Null: another living process holds it. Error: the file cannot be made.
 */
export async function lockHome(home: string): Promise<HomeLock | null> {
  const database = new DatabaseSync(join(home, "lock"));
  try {
    database.exec("pragma journal_mode = memory; begin exclusive");
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === busy) return null;
    throw error;
  }
  return { release: () => database.close() };
}
