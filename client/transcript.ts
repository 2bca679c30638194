type Data = Record<string, unknown>;

/** An event as a piece of a Markdown transcript; "" for what a reader of it does not need. `prompts`: by input. */
export function asMarkdown(event: Data, prompts: ReadonlyMap<string, string>): string {
  const text = words(String(event["type"]), event["data"] as Data, prompts);
  return text !== "" && typeof event["resource"] === "string" ? `${text}\n\n*[cut: all of it in ${event["resource"]}]*` : text;
}

function words(type: string, data: Data, prompts: ReadonlyMap<string, string>): string {
  switch (type) {
    case "turn.queued":
      return `## Turn ${String(data["n"])}\n\n**prompt**: ${prompts.get(String(data["inputId"])) ?? "(not kept)"}`;
    case "message.completed":
      return `**${String(data["role"])}**: ${String(data["text"])}`;
    case "tool.started":
      return `- tool: ${String(data["title"])}`;
    case "command.started":
      return `- \`${String(data["command"])}\``;
    case "file.changed":
      return `- ${String(data["change"])} ${String(data["path"])}`;
    case "turn.completed":
      return `*turn ended: ${String(data["outcome"])}*`;
    case "approval.requested":
      return `*asks: ${String(data["title"])}*`;
    case "approval.resolved":
      return `*answered: ${String(data["decision"])}*`;
    case "notice.raised":
      return `*${String(data["message"])}*`;
    default:
      return "";
  }
}
