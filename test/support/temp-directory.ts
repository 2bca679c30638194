import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A directory of its own (0700) that goes away after the test file. Its path is short and has no symbolic links. */
export function temporaryDirectory(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "baton-t-")));
  afterAll(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  });
  return path;
}
