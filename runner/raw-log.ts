import { openSync, writeSync } from "node:fs";

/** The agent's own lines, for mapping them again. Best effort: when the disk is full a line is lost here, never in the spool. `mask` takes secrets out. */
export function openRawLog(path: string, mask: (line: string) => string): (line: string) => { file: string; offset: number; bytes: number } {
  const fd = openSync(path, "wx", 0o600);
  let end = 0;
  return (line) => {
    const buffer = Buffer.from(mask(line) + "\n");
    const offset = end;
    try {
      for (let done = 0; done < buffer.length;) done += writeSync(fd, buffer, done, buffer.length - done, offset + done);
      end += buffer.length;
    } catch {
      return { file: path, offset, bytes: 0 };
    }
    return { file: path, offset, bytes: buffer.length };
  };
}
