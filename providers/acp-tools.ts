import { createHash } from "node:crypto";
import type { EventData, EventType, NewEvent } from "../contracts/event.ts";
import type { SpoolRecord } from "../contracts/runner-protocol.ts";
import type { TextMask } from "../contracts/text-mask.ts";
import { grown, noText, whole } from "./bounded.ts";
import type { GrowingText } from "./bounded.ts";

export type Json = Record<string, unknown>;
export const objectOf = (value: unknown): Json => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {});
export const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const listOf = (value: unknown): Json[] => (Array.isArray(value) ? value.map(objectOf) : []);

/** An event record; `data` is checked against the type. */
export function event<T extends EventType>(
  type: T,
  data: EventData[T],
  where: { turnId?: string | undefined; itemId?: string; synthetic?: boolean } = {},
): SpoolRecord {
  const made: NewEvent = { type, data, at: new Date().toISOString() };
  if (where.turnId !== undefined) made.turnId = where.turnId;
  if (where.itemId !== undefined) made.itemId = where.itemId;
  if (where.synthetic) made.synthetic = true;
  return { kind: "event", event: made };
}

interface Tool {
  itemId: string;
  name: string;
  title: string;
  kind: string;
  input: Json;
  locations: string[];
  output: GrowingText;
  /** the output is what `content` said last: the next one replaces it */
  said: boolean;
  streamed: string;
  diffs: Json[];
  exitCode: number | null;
  /** it does not run yet, the agent says */
  pending: boolean;
  /** what its start was told of as; null: not told of yet */
  startedAs: "command" | "tool" | null;
  ended: boolean;
  denied: boolean;
}

const isEnd = (status: string): status is "completed" | "failed" => status === "completed" || status === "failed";

/** Tool calls of one turn: agents say a call piece by piece, so pieces are merged by `toolCallId`. */
export interface AcpTools {
  /** Merges a tool_call, tool_call_update or the call inside a permission request; `ask` makes it start now. */
  upsert(update: Json, ask?: boolean): SpoolRecord[];
  /**
   * The call that a permission request is about, as it stands after `upsert`: the request is an update, what it leaves out was said before.
   * Of the content only what the request says and the diffs.
   */
  asked(request: Json): Json;
  /** Records the start of every call that is known but not yet told of. */
  startAll(): SpoolRecord[];
  /** The call's permission was refused: its failure counts as a denial. */
  denied(toolCallId: string): void;
  itemId(toolCallId: string): string;
  /** Ends what is still open as interrupted. */
  settle(): SpoolRecord[];
}

/** @param prefix of item ids: some agents number their calls anew in each process */
export function acpTools(turnId: string, prefix: string, mask: TextMask): AcpTools {
  const tools = new Map<string, Tool>();
  // An item's id is indexed and part of keys: Postgres takes no long one there.
  const itemIdOf = (id: string): string => `${prefix}/${id.length > 200 ? createHash("sha256").update(id).digest("hex") : id}`;
  // Its end is of the family of its start: the kind may become another one meanwhile (codex-acp executes what it announced as a reading).
  const isCommand = (tool: Tool): boolean => (tool.startedAs === null ? tool.kind === "execute" : tool.startedAs === "command");
  const command = (tool: Tool): string =>
    textOf(tool.input["command"]) || (Array.isArray(tool.input["command"]) ? (tool.input["command"] as unknown[]).join(" ") : "");

  function start(tool: Tool): SpoolRecord[] {
    if (tool.startedAs !== null) return [];
    tool.startedAs = isCommand(tool) ? "command" : "tool";
    const where = { turnId, itemId: tool.itemId };
    const title = tool.title || "tool";
    if (isCommand(tool)) {
      const cwd = textOf(tool.input["cwd"]);
      return [event("command.started", { command: command(tool) || title, ...(cwd ? { cwd } : {}) }, where)];
    }
    return [
      event(
        "tool.started",
        {
          name: tool.name || title,
          title,
          kind: tool.kind,
          ...(Object.keys(tool.input).length > 0 ? { input: tool.input } : {}),
          ...(tool.locations.length > 0 ? { locations: tool.locations } : {}),
        },
        where,
      ),
    ];
  }

  function finish(tool: Tool, status: "completed" | "failed" | "interrupted" | "denied", synthetic: boolean): SpoolRecord[] {
    const records = start(tool);
    tool.ended = true;
    const where = { turnId, itemId: tool.itemId, synthetic };
    const output = tool.output.kept ? { output: whole(tool.output, mask) } : {};
    if (status === "completed") records.push(...fileChanges(tool).map((change) => event("file.changed", change, { turnId, itemId: tool.itemId })));
    records.push(
      isCommand(tool)
        ? event("command.completed", { status, ...(tool.exitCode === null ? {} : { exitCode: tool.exitCode }), ...output }, where)
        : event("tool.completed", { status, ...output }, where),
    );
    // Told of: a turn of many large calls must not keep them all.
    Object.assign(tool, { input: {}, output: noText, streamed: "", diffs: [] });
    return records;
  }

  /** Merges one piece; output that only grew is told of as a delta. */
  function merge(tool: Tool, update: Json, { status, first, ask }: { status: string; first: boolean; ask: boolean }): SpoolRecord[] {
    if (status !== "") tool.pending = status === "pending";
    tool.name = textOf(update["name"]) || tool.name;
    tool.title = textOf(update["title"]) || tool.title;
    tool.kind = textOf(update["kind"]) || tool.kind;
    // What a piece leaves out still holds: a request may say the command alone, and was to run in the directory that was said before (opencode).
    tool.input = { ...tool.input, ...objectOf(update["rawInput"]) };
    const paths = listOf(update["locations"])
      .map((one) => textOf(one["path"]))
      .filter((path) => path !== "");
    if (paths.length > 0) tool.locations = paths;
    const content = listOf(update["content"]);
    const diffs = content.filter((one) => one["type"] === "diff");
    if (diffs.length > 0) tool.diffs = diffs;
    // A text before a command runs describes it, so does one that comes with its announcement; in a question it is the question.
    const describes = ask || (isCommand(tool) && !isEnd(status) && (tool.pending || first));
    const said = content
      .filter((one) => one["type"] === "content" && !describes)
      .map((one) => textOf(objectOf(one["content"])["text"]))
      .join("");
    const terminal = textOf(objectOf(objectOf(update["_meta"])["terminal_output_delta"])["data"]);
    const raw = update["rawOutput"];
    const all = said ? said.replace(/^```console\n([\s\S]*?)\n?```\s*$/, "$1") : typeof raw === "string" ? raw : textOf(objectOf(raw)["output"]);
    if (terminal) tool.output = grown(tool.output, terminal);
    else if (all || typeof raw === "string" || (tool.said && Array.isArray(update["content"]))) tool.output = grown(noText, all);
    tool.said = said !== "" || (tool.said && !Array.isArray(update["content"]));
    const code = objectOf(raw)["exit_code"] ?? objectOf(raw)["exitCode"] ?? objectOf(objectOf(raw)["metadata"])["exit"];
    if (Number.isSafeInteger(code)) tool.exitCode = code as number;
    const { kept } = tool.output;
    if (!isCommand(tool) || kept === tool.streamed || !kept.startsWith(tool.streamed)) return [];
    const text = kept.slice(tool.streamed.length);
    tool.streamed = kept;
    return [{ kind: "delta", turnId, itemId: tool.itemId, stream: "output", text }];
  }

  return {
    upsert(update, ask = false) {
      const id = textOf(update["toolCallId"]);
      if (id === "") return [event("line.unparsed", { text: JSON.stringify(update), reason: "a tool call without an id" }, { turnId })];
      let tool = tools.get(id);
      const first = !tool;
      if (!tool) {
        tool = {
          itemId: itemIdOf(id),
          name: "",
          title: "",
          kind: "other",
          input: {},
          locations: [],
          output: noText,
          said: false,
          streamed: "",
          diffs: [],
          exitCode: null,
          pending: false,
          startedAs: null,
          ended: false,
          denied: false,
        };
        tools.set(id, tool);
      }
      if (tool.ended) return [];
      const wasStarted = tool.startedAs !== null;
      const status = textOf(update["status"]);
      const deltas = merge(tool, update, { status, first, ask });
      if (isEnd(status)) return [...deltas.filter(() => wasStarted), ...finish(tool, tool.denied && status === "failed" ? "denied" : status, false)];
      // Agents announce a call before they know its arguments: told of too early it would stay nameless for good.
      const ready = ask || (isCommand(tool) ? command(tool) !== "" : status === "in_progress" || Object.keys(tool.input).length > 0);
      return ready || wasStarted ? [...start(tool), ...deltas] : [];
    },
    asked(request) {
      const tool = tools.get(textOf(request["toolCallId"]));
      if (!tool || tool.ended) return request;
      return {
        ...request,
        name: tool.name,
        title: tool.title,
        kind: tool.kind,
        rawInput: Object.keys(tool.input).length > 0 ? tool.input : request["rawInput"],
        locations: tool.locations.map((path) => ({ path })),
        content: [...listOf(request["content"]).filter((one) => one["type"] !== "diff"), ...tool.diffs],
      };
    },
    startAll: () => [...tools.values()].filter((tool) => !tool.ended).flatMap(start),
    denied(id) {
      const tool = tools.get(id);
      if (tool) tool.denied = true;
    },
    itemId: itemIdOf,
    settle: () => [...tools.values()].filter((tool) => !tool.ended).flatMap((tool) => finish(tool, tool.denied ? "denied" : "interrupted", true)),
  };
}

/** For display only: git says what really changed. */
function fileChanges(tool: Tool): EventData["file.changed"][] {
  if (tool.diffs.length === 0 && tool.kind === "delete") return tool.locations.map((path) => ({ path, change: "deleted" as const }));
  return tool.diffs.map((one) => {
    const before = one["oldText"];
    const lines = (sign: string, text: string): string =>
      text
        .replace(/\n$/, "")
        .split("\n")
        .map((line) => sign + line)
        .join("\n");
    const parts = [
      typeof before === "string" && before !== "" ? lines("-", before) : "",
      textOf(one["newText"]) === "" ? "" : lines("+", textOf(one["newText"])),
    ];
    const change = typeof before !== "string" ? "added" : typeof one["newText"] === "string" ? "modified" : "deleted";
    return { path: textOf(one["path"]), change, diff: parts.filter((part) => part !== "").join("\n") };
  });
}
