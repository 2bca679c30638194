import { noUsage } from "../contracts/event.ts";
import type { Usage } from "../contracts/event.ts";
import type { SpoolRecord } from "../contracts/runner-protocol.ts";
import type { TextMask } from "../contracts/text-mask.ts";
import { acpTools, event, objectOf, textOf } from "./acp-tools.ts";
import type { AcpTools, Json } from "./acp-tools.ts";
import { countOf, grown, noText, whole } from "./bounded.ts";
import type { GrowingText } from "./bounded.ts";

/** What one turn's `session/update`s come to. Does nothing but turn messages into records: recorded output can be mapped again. */
export interface TurnMapping {
  tools: AcpTools;
  update(update: Json): SpoolRecord[];
  /** Completes the text that is open. */
  flush(): SpoolRecord[];
  /** Completes everything; calls that are still open end as interrupted. */
  end(): SpoolRecord[];
  /** The last message of the agent that is complete. */
  finalMessage(): string;
}

/** Updates that say nothing about the work. */
const ignored = new Set([
  "available_commands_update",
  "current_mode_update",
  "config_option_update",
  "session_info_update",
  "usage_update",
  "user_message_chunk",
  "compaction_update",
  "compaction_summary_chunk",
]);

export function turnMapping(turnId: string, runnerId: string, mask: TextMask): TurnMapping {
  // A later attempt at the turn is another process: what it streams is not the rest of what the former one left open.
  const prefix = `${turnId}/${runnerId.slice(-6)}`;
  const tools = acpTools(turnId, prefix, mask);
  let open: { stream: "message" | "thought"; itemId: string; messageId: string; text: GrowingText } | null = null;
  let count = 0;
  let last = "";

  function flush(): SpoolRecord[] {
    const item = open;
    open = null;
    const text = item ? whole(item.text, mask) : "";
    if (!item || text.trim() === "") return [];
    const where = { turnId, itemId: item.itemId };
    if (item.stream === "thought") return [event("thought.completed", { text }, where)];
    last = text;
    return [event("message.completed", { role: "agent", text }, where)];
  }

  /** A change of kind or of message id is a new item; agents say no other end. */
  function chunk(stream: "message" | "thought", update: Json): SpoolRecord[] {
    const content = objectOf(update["content"]);
    const text = content["type"] === "text" || content["type"] === undefined ? textOf(content["text"]) : `[${textOf(content["type"])}]`;
    if (text === "") return [];
    const messageId = textOf(update["messageId"]);
    const records: SpoolRecord[] = [];
    if (open && (open.stream !== stream || open.messageId !== messageId)) records.push(...flush());
    open ??= { stream, itemId: `${prefix}/text-${++count}`, messageId, text: noText };
    open.text = grown(open.text, text);
    records.push(...tools.startAll(), { kind: "delta", turnId, itemId: open.itemId, stream, text });
    return records;
  }

  function plan(update: Json): SpoolRecord[] {
    const entries = Array.isArray(update["entries"]) ? update["entries"].map(objectOf) : [];
    return [
      ...flush(),
      event(
        "plan.updated",
        { entries: entries.map((one) => ({ text: textOf(one["content"]), status: textOf(one["status"]) || "pending" })) },
        { turnId, itemId: `${turnId}/plan` },
      ),
    ];
  }

  return {
    tools,
    flush,
    update(update) {
      const kind = textOf(update["sessionUpdate"]);
      switch (kind) {
        case "agent_message_chunk":
          return chunk("message", update);
        case "agent_thought_chunk":
          return chunk("thought", update);
        case "tool_call":
        case "tool_call_update":
          return [...flush(), ...tools.upsert(update)];
        case "plan":
          return plan(update);
        case "notice":
          return [event("notice.raised", { message: textOf(update["message"]) || JSON.stringify(update) }, { turnId })];
        default:
          return ignored.has(kind) ? [] : [event("line.unparsed", { text: JSON.stringify(update), reason: `an unknown session update: ${kind}` }, { turnId })];
      }
    },
    end: () => [...flush(), ...tools.settle()],
    finalMessage: () => last,
  };
}

/** Millionths of a dollar in a `usage_update`, counted by the agent over its whole conversation; null when it says none. */
export function costOf(update: Json): number | null {
  const cost = objectOf(update["cost"]);
  return typeof cost["amount"] === "number" && (cost["currency"] ?? "USD") === "USD" ? countOf(Math.round(cost["amount"] * 1_000_000)) : null;
}

/** Codex's adapter says here whether the model's server failed it; the error itself is an ordinary message and the turn ends normally. */
export const threadStatusOf = (update: Json): string => textOf(objectOf(objectOf(objectOf(update["_meta"])["codex"])["threadStatus"])["type"]);

/** The tokens in the answer to `session/prompt`, in either shape agents use. Null: it says nothing of them. */
export function usageOf(answer: Json): Omit<Usage, "costMicros"> | null {
  const count = (value: unknown): number => (typeof value === "number" ? countOf(value) : 0);
  const usage = answer["usage"];
  if (typeof usage === "object" && usage !== null) {
    const of = objectOf(usage);
    return { inputTokens: count(of["inputTokens"]), outputTokens: count(of["outputTokens"]), cachedTokens: count(of["cachedReadTokens"]) };
  }
  const quota = objectOf(objectOf(objectOf(answer["_meta"])["quota"])["token_count"]);
  if (typeof quota["input_tokens"] !== "number") return null;
  return { inputTokens: count(quota["input_tokens"]), outputTokens: count(quota["output_tokens"]), cachedTokens: noUsage.cachedTokens };
}
