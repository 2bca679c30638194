import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";

/** A disk of a few MB that a test may fill. */
export interface SmallDisk {
  /** takes every byte that is left */
  fill(): void;
  free(): void;
  unmount(): void;
}

/** Only root may mount; anybody else's run says that these tests were left out. */
export const describeAsRoot = process.getuid?.() === 0 ? describe : describe.skip;

/** Mounts a small tmpfs at `path` (made if it is not there). Needs root. */
export function mountSmallDisk(path: string, megabytes: number): SmallDisk {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  execFileSync("/bin/mount", ["-t", "tmpfs", "-o", `size=${megabytes}m,mode=755`, "tmpfs", path]);
  const ballast = join(path, "ballast");
  return {
    fill() {
      const fd = openSync(ballast, "a");
      try {
        // Whole pages first, then what is left of them.
        for (const size of [1 << 20, 4_096, 1]) {
          const piece = Buffer.alloc(size);
          try {
            for (;;) writeSync(fd, piece);
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
          }
        }
      } finally {
        closeSync(fd);
      }
    },
    free: () => rmSync(ballast, { force: true }),
    // Lazily: whoever still reads there reads on, and nothing of it is left afterwards.
    unmount: () => void execFileSync("/bin/umount", ["-l", path]),
  };
}
