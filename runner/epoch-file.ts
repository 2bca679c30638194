import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Owner } from "../contracts/runner-protocol.ts";

/** The highest claim that any runner of this session has seen. */
export interface EpochFile {
  /** null: none yet. Errors: an Error when the file is not what we wrote; guessing would undo the fence. */
  read(): Owner | null;
  /** Durable when it returns. */
  write(owner: Owner): void;
}

export function epochFile(dir: string): EpochFile {
  const path = join(dir, "epoch.json");
  return {
    read() {
      let text: string;
      try {
        text = readFileSync(path, "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
        throw error;
      }
      const { epoch, owner } = JSON.parse(text) as Owner;
      if (!Number.isSafeInteger(epoch) || typeof owner !== "string") throw new Error(`${path} holds no epoch`);
      return { epoch, owner };
    },
    write({ epoch, owner }) {
      const temporary = `${path}.${process.pid}`;
      sync(temporary, "w", JSON.stringify({ epoch, owner }));
      renameSync(temporary, path);
      sync(dir, "r");
    },
  };
}

function sync(path: string, flags: string, text?: string): void {
  const fd = openSync(path, flags, 0o600);
  try {
    if (text !== undefined) writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
