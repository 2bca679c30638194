import { copyFileSync, existsSync, statSync, truncateSync } from "node:fs";

const maxBytes = 20_000_000;

/** Keeps a log and one older one (`.1`), each up to 20 MB. By copy and truncate: its writers append and need not know. */
export function rotate(file: string): void {
  if (!existsSync(file) || statSync(file).size < maxBytes) return;
  copyFileSync(file, `${file}.1`);
  truncateSync(file, 0);
}
