/** What one misbehaviour must come to. */
export interface Row {
  /** name in deeds.ts, or what the agent does at its start */
  deed: string;
  /** the promise, in plain words */
  what: string;
  matrix: number;
  outcome: "completed" | "failed" | "interrupted";
  failure?: string;
  /** reasons of the `line.unparsed` of the session, in order; default: none */
  unparsed?: (string | RegExp)[];
  /** the last message of the turn */
  said?: string | RegExp;
}

const notJson = "not JSON";
const noRpc = "not a JSON-RPC message";

/** In the middle of a turn. */
export const inTurn: Row[] = [
  { deed: "not-json", what: "garbage is kept as unparsed lines", matrix: 20, outcome: "completed", unparsed: [notJson, notJson, notJson] },
  { deed: "truncated", what: "a truncated line is kept as unparsed", matrix: 20, outcome: "completed", unparsed: [notJson] },
  { deed: "crlf", what: "carriage returns do not matter", matrix: 20, outcome: "completed", said: "with a carriage return" },
  { deed: "bom", what: "a line behind a byte order mark is kept as unparsed", matrix: 20, outcome: "completed", unparsed: [notJson] },
  { deed: "two-objects", what: "two objects on a line are kept as unparsed", matrix: 20, outcome: "completed", unparsed: [notJson] },
  {
    deed: "unknown",
    what: "messages of unknown types are kept as unparsed, an unknown request is refused",
    matrix: 20,
    outcome: "completed",
    unparsed: [noRpc, noRpc, noRpc, noRpc, noRpc, "an unknown notification: session/dance", "an unknown session update: telepathy"],
  },
  { deed: "stderr", what: "noise on stderr does not touch the lines", matrix: 20, outcome: "completed", said: "between the noise" },
  {
    deed: "confused",
    what: "fields of the wrong types end no turn",
    matrix: 20,
    outcome: "completed",
    unparsed: ["a tool call without an id", ...(Array(5).fill(/^an unknown session update: $/) as RegExp[])],
  },
  {
    deed: "unasked",
    what: "answers to nothing that was asked are kept as unparsed",
    matrix: 20,
    outcome: "completed",
    unparsed: Array(2).fill("an answer to nothing that was asked") as string[],
  },
  {
    deed: "twice",
    what: "only the first answer to the prompt counts",
    matrix: 20,
    outcome: "completed",
    unparsed: Array(2).fill("an answer to nothing that was asked") as string[],
  },
  {
    deed: "foreign",
    what: "updates of another conversation are not taken for this one's",
    matrix: 20,
    outcome: "completed",
    unparsed: Array(2).fill("an update of another conversation") as string[],
  },
  { deed: "late-words", what: "what is written after the turn's end belongs to no turn", matrix: 20, outcome: "completed" },
  { deed: "late-ask", what: "a permission that is asked for after the turn's end is cancelled", matrix: 20, outcome: "completed" },
  {
    deed: "huge-text",
    what: "a message of 6 MB is cut to the limit of an event and says so",
    matrix: 21,
    outcome: "completed",
    said: /^é{100}é*… \[\d+ characters more\]$/,
  },
  { deed: "long-talk", what: "a message of 24 MB in pieces is cut and says so", matrix: 21, outcome: "completed", said: /^z{100}z*… \[\d+ characters more\]$/ },
  {
    deed: "no-newline",
    what: "a line that never ends is dropped and the silence behind it ends the turn",
    matrix: 21,
    outcome: "failed",
    failure: "stalled",
    unparsed: ["a line above 8 MB"],
  },
  {
    deed: "many-values",
    what: "an event of too many values is kept as an unparsed line",
    matrix: 21,
    outcome: "completed",
    unparsed: [/^a tool.started above \d+ bytes$/],
  },
  { deed: "nul", what: "NUL in texts, keys and ids is replaced", matrix: 22, outcome: "completed", unparsed: [notJson], said: "a\ufffdb" },
  { deed: "utf8", what: "broken UTF-8 is made well-formed", matrix: 22, outcome: "completed", said: /^\ufffd\(\ufffd+$/ },
  { deed: "surrogates", what: "lone surrogates in texts, keys and ids are replaced", matrix: 22, outcome: "completed", said: "x\ufffdy" },
  {
    deed: "deep",
    what: "JSON that is 100,000 deep is kept as unparsed",
    matrix: 22,
    outcome: "completed",
    unparsed: [noRpc, /^a tool.started that cannot be written/, /Maximum call stack/],
  },
  { deed: "deep-error", what: "an error answer that is 100,000 deep fails the turn", matrix: 22, outcome: "failed", failure: "unknown" },
  { deed: "numbers", what: "1e400 as cost, tokens and exit code counts as nothing", matrix: 22, outcome: "completed" },
  { deed: "long-ids", what: "a tool call with an id of 100,000 characters is recorded and settled", matrix: 22, outcome: "completed" },
  { deed: "long-reason", what: "a stop reason of 1 MB fails the turn in a sentence", matrix: 22, outcome: "failed", failure: "protocol" },
  { deed: "prototype", what: "names that JavaScript knows are names like others", matrix: 22, outcome: "completed" },
  { deed: "silence", what: "an agent that says nothing is interrupted and ended", matrix: 7, outcome: "failed", failure: "stalled" },
  { deed: "exit", what: "an agent that exits in the middle fails the turn", matrix: 6, outcome: "failed", failure: "agent_exited" },
  {
    deed: "half-line",
    what: "an exit in the middle of a line keeps the half line",
    matrix: 6,
    outcome: "failed",
    failure: "agent_exited",
    unparsed: [notJson],
    said: "whole",
  },
  { deed: "suicide", what: "an agent that is killed fails the turn", matrix: 6, outcome: "failed", failure: "agent_exited" },
  {
    deed: "close-stdout",
    what: "an agent that closes its output and lives on is ended",
    matrix: 7,
    outcome: "failed",
    failure: "agent_exited",
    said: "last words",
  },
];

/** Before the conversation is open. */
export const atStart: Row[] = [
  { deed: "crash", what: "a crash before the handshake fails the turn", matrix: 6, outcome: "failed", failure: "agent_exited" },
  { deed: "killed", what: "a kill before the handshake fails the turn", matrix: 6, outcome: "failed", failure: "agent_exited" },
  { deed: "close-stdout", what: "an output that is closed before the handshake fails the turn", matrix: 7, outcome: "failed", failure: "agent_exited" },
  {
    deed: "garbage",
    what: "a greeting that is no protocol is kept as unparsed",
    matrix: 20,
    outcome: "completed",
    unparsed: [notJson, notJson, notJson],
    said: "good: go",
  },
  { deed: "other-version", what: "a version that nobody speaks fails the turn", matrix: 20, outcome: "failed", failure: "handshake" },
  { deed: "long-version", what: "a version of 1 MB fails the turn in a sentence", matrix: 20, outcome: "failed", failure: "handshake" },
  { deed: "no-version", what: "a list for an answer fails the turn", matrix: 20, outcome: "failed", failure: "handshake" },
  { deed: "number-session", what: "a number for a conversation's id fails the turn", matrix: 20, outcome: "failed", failure: "handshake" },
  { deed: "long-session", what: "a conversation's id of 1 MB fails the turn", matrix: 20, outcome: "failed", failure: "handshake" },
  { deed: "nul-session", what: "a conversation's id that cannot be kept fails the turn", matrix: 22, outcome: "failed", failure: "handshake" },
  { deed: "long-name", what: "a name of 1 MB harms nobody", matrix: 20, outcome: "completed", said: "good: go" },
  { deed: "refuse", what: "an error that is no error object fails the turn", matrix: 20, outcome: "failed", failure: "handshake" },
];
