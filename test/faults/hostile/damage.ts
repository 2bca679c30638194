type Damage = (bytes: Buffer, random: (below: number) => number) => Buffer;

/** Whole numbers from a seed, always the same (mulberry32). */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

const replaced = (bytes: Buffer, from: number, to: number, by: Buffer | string): Buffer =>
  Buffer.concat([bytes.subarray(0, from), Buffer.from(by as string), bytes.subarray(to)]);
/** Puts a text in the place of one JSON value of the recording. */
const value =
  (of: RegExp, by: string): Damage =>
  (bytes, random) => {
    const found = [...bytes.toString("latin1").matchAll(of)];
    const one = found[random(Math.max(1, found.length))];
    return one ? replaced(bytes, one.index, one.index + one[0].length, by) : bytes;
  };

const kinds: Damage[] = [
  // a bit, a byte, a range, a piece twice, a piece elsewhere, an end too early
  (bytes, random) => {
    const at = random(bytes.length);
    return replaced(bytes, at, at + 1, Buffer.from([(bytes[at] ?? 0) ^ (1 << random(8))]));
  },
  (bytes, random) => {
    const at = random(bytes.length);
    return replaced(bytes, at, at, Buffer.from([random(256), random(256), random(256)]));
  },
  (bytes, random) => {
    const at = random(bytes.length);
    return replaced(bytes, at, at + random(200), "");
  },
  (bytes, random) => {
    const at = random(bytes.length);
    return replaced(bytes, at, at, bytes.subarray(at, at + random(3_000)));
  },
  (bytes, random) => {
    const [from, to] = [random(bytes.length), random(bytes.length)];
    return replaced(bytes, to, to, bytes.subarray(from, from + random(500)));
  },
  (bytes, random) => bytes.subarray(0, random(bytes.length)),
  // lines: away, twice, in another order, cut in two, joined
  ...[
    (lines: string[], random: (below: number) => number) => void lines.splice(random(lines.length), 1),
    (lines: string[], random: (below: number) => number) => {
      const at = random(lines.length);
      lines.splice(at, 0, lines[at] ?? "");
    },
    (lines: string[], random: (below: number) => number) => void lines.splice(random(lines.length), 0, ...lines.splice(random(lines.length), 1)),
  ].map((change): Damage => (bytes, random) => {
    const lines = bytes.toString("latin1").split("\n");
    change(lines, random);
    return Buffer.from(lines.join("\n"), "latin1");
  }),
  (bytes, random) => {
    const at = random(bytes.length);
    return replaced(bytes, at, at, ["\n", "\r\n", "\0", "\ufeff", "\u2028"][random(5)] ?? "");
  },
  value(/\n/g, ""),
  // values that no schema foresees
  value(/:\d+(\.\d+)?/g, ":1e400"),
  value(/:\d+(\.\d+)?/g, ":-1e308"),
  value(/:"[^"]*"/g, ':"\\ud800\\u0000"'),
  value(/:"[^"]*"/g, `:"${"long".repeat(60_000)}"`),
  value(/:"[^"]*"/g, ":{}"),
  value(/:"[^"]*"/g, `:${"[".repeat(20_000)}${"]".repeat(20_000)}`),
  value(/:\{/g, ':{"__proto__":{"x":1},"k\\u0000":[null],'),
  value(/"[A-Za-z]+":/g, '"":'),
  value(/"sessionUpdate":"[^"]*"/g, '"sessionUpdate":"tool_call_update"'),
  value(/"toolCallId":"[^"]*"/g, '"toolCallId":"other"'),
  value(/"status":"[^"]*"/g, '"status":"completed"'),
];

/** The same bytes with one to four damages, always the same for a seed. */
export function damage(bytes: Buffer, seed: number): Buffer {
  const random = randomOf(seed);
  let made = bytes;
  for (let left = 1 + random(4); left > 0; left--) made = kinds[random(kinds.length)]?.(made, random) ?? made;
  return made;
}
