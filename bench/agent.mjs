// An ACP agent as small as possible, so that a benchmark measures Baton and not its agent. What it does stands in the prompt, as the
// last JSON object (it can be resumed, and remembers nothing): {"tools": n} so many tool calls at once; {"deltas": n, "perSecond": m} pieces of text at fixed times, late or not;
// {"hang": true} nothing until it is cancelled. Each piece carries the monotonic clock at its writing, in ns.
import process from "node:process";

let cancelled = false;
const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
const update = (sessionId, body) => send({ method: "session/update", params: { sessionId, update: body } });
const now = () => process.hrtime.bigint();

async function prompt(sessionId, blocks) {
  cancelled = false;
  const text = blocks.map((block) => block.text ?? "").join("\n");
  const order = JSON.parse(text.match(/\{"(?:tools|deltas|hang)[^}]*\}/g)?.at(-1) ?? '{"tools":1}');
  for (let n = 1; n <= (order.tools ?? 0); n += 1) {
    update(sessionId, { sessionUpdate: "tool_call", toolCallId: `t${now()}`, title: `t=${now()}`, kind: "other", status: "completed", rawInput: { n } });
  }
  if (order.deltas) await deltas(sessionId, order.deltas, order.perSecond);
  if (order.hang) while (!cancelled) await new Promise((resolve) => setTimeout(resolve, 5));
  return { stopReason: cancelled ? "cancelled" : "end_turn" };
}

/** Open loop: piece n is due at its own time, whatever happened to the ones before. */
function deltas(sessionId, count, perSecond) {
  const start = performance.now();
  let n = 0;
  return new Promise((resolve) => {
    const tick = () => {
      while (n < count && !cancelled && performance.now() >= start + (n * 1_000) / perSecond) {
        update(sessionId, { sessionUpdate: "agent_message_chunk", messageId: `m${Math.floor(n / 50)}`, content: { type: "text", text: `t=${now()};` } });
        n += 1;
      }
      if (n >= count || cancelled) resolve();
      else setTimeout(tick, Math.max(0, start + (n * 1_000) / perSecond - performance.now()));
    };
    tick();
  });
}

async function answer(request) {
  switch (request.method) {
    case "initialize":
      return { protocolVersion: 1, agentCapabilities: { loadSession: true }, authMethods: [] };
    case "session/new":
      return { sessionId: "bench" };
    case "session/prompt":
      return prompt(request.params.sessionId, request.params.prompt);
    default:
      return {};
  }
}

let rest = "";
process.stdin.setEncoding("utf8").on("data", (piece) => {
  const lines = (rest + piece).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) {
    const request = JSON.parse(line);
    if (request.method === "session/cancel") cancelled = true;
    else if (request.id !== undefined && request.method) void answer(request).then((result) => send({ id: request.id, result }));
  }
});
process.stdin.on("end", () => process.exit(0));
