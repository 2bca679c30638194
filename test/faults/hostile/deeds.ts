import { spawn } from "node:child_process";
import { closeSync, writeSync } from "node:fs";

/** What a deed works with: one prompt that the hostile agent was given. */
export interface PromptedTurn {
  sessionId: string;
  id: number | string;
  /** bytes as they are, no newline is added */
  write(bytes: string | Buffer): void;
  send(message: object): void;
  update(update: object, sessionId?: string): void;
  /** ends the turn; what a deed does afterwards is after its end */
  end(result?: unknown): void;
}

/** Returns `open` when the prompt gets no answer (or had one). */
type Deed = (turn: PromptedTurn, argument: number) => unknown;

const megabyte = 1 << 20;
const deep = (depth: number): string => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
const updateLine = (turn: PromptedTurn, update: string): string =>
  `{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":${JSON.stringify(turn.sessionId)},"update":${update}}}\n`;
const words = (text: string): object => ({ sessionUpdate: "agent_message_chunk", content: { type: "text", text } });
const wordsLine = (turn: PromptedTurn, text: string): string => updateLine(turn, JSON.stringify(words(text)));
const soon = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const never = (): Promise<never> => {
  setInterval(() => undefined, 60_000);
  return new Promise(() => undefined);
};
/** Writes the same bytes as fast as the pipe takes them, until it is killed. */
function forEver(bytes: Buffer, fd = 1): never {
  for (;;) {
    try {
      writeSync(fd, bytes);
    } catch (error) {
      // A pipe that is full, or one that the reader has left.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") process.exit(0);
    }
  }
}
const many = (line: string): Buffer => Buffer.from(line.repeat(Math.ceil(65_536 / line.length)));

/** One misbehaviour each, by the name that a prompt says. */
export const deeds: Record<string, Deed> = {
  "not-json": (turn) => turn.write("this is no JSON\n{'single': 1}\nTraceback (most recent call last):\n"),
  truncated: (turn) => turn.write(wordsLine(turn, "whole").slice(0, 60) + "\n"),
  crlf: (turn) => {
    turn.write(wordsLine(turn, "with a carriage return").replace("\n", "\r\n"));
    turn.write(`{"jsonrpc":"2.0","id":${JSON.stringify(turn.id)},"result":{"stopReason":"end_turn"}}\r\n`);
    return "open";
  },
  bom: (turn) => turn.write("\ufeff" + wordsLine(turn, "behind a BOM")),
  "two-objects": (turn) => turn.write(wordsLine(turn, "one").trimEnd() + wordsLine(turn, "two")),
  unknown: (turn) => {
    turn.write('42\nnull\n"text"\n[{"jsonrpc":"2.0"}]\n{}\n');
    turn.send({ method: "session/dance", params: { how: "fast" } });
    turn.update({ sessionUpdate: "telepathy", content: "?" });
    turn.send({ id: "x1", method: "fs/read_text_file", params: { path: "/etc/passwd" } });
  },
  stderr: async (turn) => {
    const line = wordsLine(turn, "between the noise");
    for (let at = 0; at < line.length; at += 20) {
      process.stderr.write("noise {\n");
      turn.write(line.slice(at, at + 20));
      await soon(2);
    }
  },
  confused: (turn) => {
    for (const update of [
      { sessionUpdate: "tool_call", toolCallId: 7, title: "a number for an id" },
      {
        sessionUpdate: "tool_call",
        toolCallId: "c1",
        title: { a: 1 },
        kind: ["execute"],
        rawInput: "text",
        locations: "none",
        content: [[], null, 7, { type: "diff", path: 3 }],
      },
      {
        sessionUpdate: "tool_call_update",
        toolCallId: "c1",
        status: "completed",
        content: [{ type: "diff", path: null, oldText: 1, newText: [] }],
        rawOutput: [1],
      },
      { sessionUpdate: "plan", entries: [null, 7, { content: 7 }] },
      { sessionUpdate: "agent_message_chunk", content: { type: "text", text: { deep: true } } },
      { sessionUpdate: "agent_thought_chunk", content: [1, 2] },
      { sessionUpdate: "usage_update", cost: "much" },
      { sessionUpdate: ["plan"] },
      [],
      "text",
    ])
      turn.update(update as object);
    turn.send({ method: "session/update", params: "none" });
    turn.send({ method: "session/update" });
  },
  unasked: (turn) => {
    turn.send({ id: 4_711, result: { outcome: "yes" } });
    turn.send({ id: "no-such", error: { code: -1, message: "no" } });
  },
  twice: (turn) => {
    turn.end();
    turn.end();
    turn.send({ id: turn.id, error: { code: -32603, message: "no, it failed" } });
    return "open";
  },
  foreign: (turn) => {
    turn.update(words("of another conversation"), "another-session");
    turn.update({ sessionUpdate: "usage_update", cost: { amount: 99, currency: "USD" } }, "another-session");
    turn.send({
      id: "f1",
      method: "session/request_permission",
      params: { sessionId: "another-session", toolCall: { toolCallId: "t1", title: "rm -rf /" }, options: [] },
    });
  },
  "late-words": async (turn) => {
    turn.end();
    await soon(300);
    turn.update(words("too late"));
    turn.update({ sessionUpdate: "tool_call", toolCallId: "late", title: "late", status: "in_progress" });
    return "open";
  },
  "late-ask": async (turn) => {
    turn.end();
    await soon(300);
    turn.send({
      id: "late",
      method: "session/request_permission",
      params: { sessionId: turn.sessionId, toolCall: { toolCallId: "late", title: "late" }, options: [] },
    });
    return "open";
  },

  "huge-line": (turn, megabytes) => {
    const piece = Buffer.alloc(megabyte, "y");
    for (let n = 0; n < megabytes; n++) turn.write(piece);
    turn.write("\n");
  },
  "huge-text": (turn) => turn.update(words("é".repeat(3 * megabyte))),
  "long-talk": (turn) => {
    for (let n = 0; n < 48; n++) turn.update(words("z".repeat(megabyte / 2)));
  },
  "no-newline": (turn) => {
    const piece = Buffer.alloc(megabyte, "y");
    for (let n = 0; n < 20; n++) turn.write(piece);
    return never();
  },
  "many-values": (turn) =>
    turn.update({ sessionUpdate: "tool_call", toolCallId: "m", title: "many", status: "in_progress", rawInput: { all: Array(3_000_000).fill(1) } }),

  nul: (turn) => {
    turn.write("\0\0\0\n");
    turn.update(words("a\0b"));
    turn.update({ sessionUpdate: "tool_call", toolCallId: "n\0ul", title: "n\0", status: "in_progress", rawInput: { "k\0ey": "v\0" } });
  },
  utf8: (turn) => {
    const [before = "", after = ""] = wordsLine(turn, "@").split("@");
    turn.write(Buffer.concat([Buffer.from(before), Buffer.from([0xc3, 0x28, 0xff, 0xf0, 0x9f, 0x98]), Buffer.from(after)]));
  },
  surrogates: (turn) => {
    turn.write(updateLine(turn, '{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"x\\ud800y"}}'));
    turn.write(updateLine(turn, '{"sessionUpdate":"tool_call","toolCallId":"s\\udfff","title":"t","status":"in_progress","rawInput":{"\\ud800":"\\udc00"}}'));
  },
  deep: (turn) => {
    turn.write(`${"[".repeat(100_000)}${"]".repeat(100_000)}\n`);
    turn.write(updateLine(turn, `{"sessionUpdate":"tool_call","toolCallId":"d1","title":"deep","status":"in_progress","rawInput":${deep(100_000)}}`));
    turn.write(updateLine(turn, `{"sessionUpdate":"tool_call","toolCallId":"d2","title":"less deep","status":"in_progress","rawInput":${deep(1_000)}}`));
    turn.write(updateLine(turn, `{"sessionUpdate":"of no kind","a":${deep(100_000)}}`));
  },
  "deep-ask": async (turn) => {
    turn.write(
      `{"jsonrpc":"2.0","id":"d","method":"session/request_permission","params":{"sessionId":${JSON.stringify(turn.sessionId)},"options":[{"optionId":"no","name":"No","kind":"reject_once"}],"toolCall":{"toolCallId":"d","title":"deep","kind":"execute","rawInput":${deep(100_000)}}}}\n`,
    );
    await answerTo("d");
  },
  "deep-error": (turn) => {
    turn.write(`{"jsonrpc":"2.0","id":${JSON.stringify(turn.id)},"error":{"code":1e400,"message":"deep","data":${deep(100_000)}}}\n`);
    return "open";
  },
  numbers: (turn) => {
    turn.write(updateLine(turn, '{"sessionUpdate":"usage_update","used":1e400,"size":-1e400,"cost":{"amount":1e400,"currency":"USD"}}'));
    turn.write(
      updateLine(
        turn,
        '{"sessionUpdate":"tool_call","toolCallId":"e","kind":"execute","title":"e","status":"completed","rawInput":{"command":"x"},"rawOutput":{"exit_code":1e400}}',
      ),
    );
    turn.write(
      `{"jsonrpc":"2.0","id":${JSON.stringify(turn.id)},"result":{"stopReason":"end_turn","usage":{"inputTokens":1e400,"outputTokens":1e300,"cachedReadTokens":-5}}}\n`,
    );
    return "open";
  },
  "long-ids": (turn) => turn.update({ sessionUpdate: "tool_call", toolCallId: "i".repeat(100_000), title: "t".repeat(100_000), status: "in_progress" }),
  "long-reason": (turn) => {
    turn.end({ stopReason: "r".repeat(megabyte) });
    return "open";
  },
  prototype: (turn) =>
    turn.write(
      updateLine(
        turn,
        '{"sessionUpdate":"tool_call","toolCallId":"__proto__","title":"constructor","status":"completed","rawInput":{"__proto__":{"a":1},"constructor":{"prototype":{"b":1}}}}',
      ),
    ),

  silence: never,
  exit: () => process.exit(7),
  "half-line": (turn) => {
    turn.write(wordsLine(turn, "whole") + wordsLine(turn, "half").slice(0, 40));
    process.exit(0);
  },
  suicide: () => {
    process.kill(process.pid, "SIGKILL");
    return never();
  },
  "half-and-wait": (turn) => {
    turn.write(wordsLine(turn, "whole") + wordsLine(turn, "half").slice(0, 40));
    return never();
  },
  "close-stdout": (turn) => {
    turn.update(words("last words"));
    closeSync(1);
    return never();
  },
  "fork-storm": async () => {
    const quiet = { stdio: "ignore" } as const;
    // In sessions of their own, deaf, with children of their own.
    for (let n = 0; n < 20; n++)
      spawn("sh", ["-c", "trap '' TERM HUP INT; for i in 1 2 3; do sleep 1000 & done; wait; sleep 1000"], { ...quiet, detached: true }).unref();
    // Hands itself on to a new process every few milliseconds: each pid that is found is already gone.
    for (let n = 0; n < 3; n++) spawn("sh", ["-c", "trap '' TERM HUP; f() { sleep 0.005; f & }; f"], quiet).unref();
    await soon(500);
  },

  "flood-words": (turn) => forEver(many(wordsLine(turn, "w".repeat(1_000)))),
  "flood-garbage": () => forEver(many("garbage ".repeat(50) + "\n")),
  "flood-ignored": (turn) =>
    forEver(many(updateLine(turn, JSON.stringify({ sessionUpdate: "available_commands_update", availableCommands: ["x".repeat(500)] })))),
  "flood-tools": (turn) => {
    for (let n = 0; ; n++) {
      const lines = Array.from({ length: 50 }, (_, at) =>
        updateLine(turn, JSON.stringify({ sessionUpdate: "tool_call", toolCallId: `${n}.${at}`, title: "t", status: "in_progress" })),
      );
      writeAll(lines.join(""));
    }
  },
  "flood-asks": () => {
    for (let n = 0; ; n++)
      writeAll(Array.from({ length: 100 }, (_, at) => `{"jsonrpc":"2.0","id":"${n}.${at}","method":"fs/read_text_file","params":{}}\n`).join(""));
  },
  "flood-stderr": () => forEver(many("error ".repeat(50) + "\n"), 2),
  "flood-later": (turn) => {
    turn.end();
    setTimeout(() => forEver(many("garbage ".repeat(50) + "\n")), 300);
    return "open";
  },
};

/** Blocks until the pipe took everything; ends with its reader. */
function writeAll(text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") process.exit(0);
    }
  }
}
const answers = new Map<string, (answer: unknown) => void>();
/** Waits for the client's answer to a request of ours. */
export const answerTo = (id: string): Promise<unknown> => new Promise((resolve) => answers.set(id, resolve));
export const answered = (id: string, answer: unknown): void => answers.get(id)?.(answer);
