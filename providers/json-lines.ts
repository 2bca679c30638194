/** A reader of newline-delimited text that arrives in pieces. */
export interface LineReader {
  push(piece: Buffer): void;
  /** Hands over what is left without a newline. */
  end(): void;
}

/**
 * Cuts a byte stream into lines. A line above `capBytes` is not collected: its first 64 KB go to `tooLong`, the rest is
 * dropped up to its newline, so one absurd line costs no memory and not the lines behind it.
 */
export function lineReader(a: { capBytes: number; line(text: string): void; tooLong(start: string): void }): LineReader {
  let held: Buffer[] = [];
  let bytes = 0;
  let dropping = false;

  function take(piece: Buffer): void {
    if (dropping || piece.length === 0) return;
    held.push(piece);
    bytes += piece.length;
    if (bytes <= a.capBytes) return;
    dropping = true;
    a.tooLong(Buffer.concat(held).subarray(0, 65_536).toString("utf8"));
    held = [];
    bytes = 0;
  }

  function finish(): void {
    const text = Buffer.concat(held).toString("utf8");
    const wasDropping = dropping;
    held = [];
    bytes = 0;
    dropping = false;
    if (!wasDropping && text.trim() !== "") a.line(text.endsWith("\r") ? text.slice(0, -1) : text);
  }

  return {
    push(piece) {
      let start = 0;
      for (let at = piece.indexOf(10); at !== -1; at = piece.indexOf(10, start)) {
        take(piece.subarray(start, at));
        finish();
        start = at + 1;
      }
      take(piece.subarray(start));
    },
    end: finish,
  };
}
