/** An MCP server over stdio for agents that know no other: passes every message on to the gateway, and back. URL and token come by its environment. */
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioServerTransport } from "@modelcontextprotocol/server/stdio";

type Message = Parameters<StdioServerTransport["send"]>[0];

const { BATON_GATEWAY_URL: url = "", BATON_TOKEN: token = "" } = process.env;
const agent = new StdioServerTransport();
const gateway = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { authorization: `Bearer ${token}` } } });

agent.onmessage = (message: Message) => {
  gateway.send(message).catch((error: Error) => {
    // Without an answer the agent would wait for ever.
    const id = "method" in message && "id" in message ? message.id : undefined;
    if (id !== undefined) void agent.send({ jsonrpc: "2.0", id, error: { code: -32603, message: `Baton's gateway does not answer: ${error.message}` } });
  });
};
gateway.onmessage = (message: Message) => {
  const { protocolVersion } = ("result" in message ? message.result : {}) as { protocolVersion?: unknown };
  // What both agreed on goes into a header of every later request.
  if (typeof protocolVersion === "string") gateway.setProtocolVersion(protocolVersion);
  void agent.send(message);
};
gateway.onerror = () => undefined;
agent.onclose = () => process.exit(0);
process.stdin.once("end", () => process.exit(0));

await gateway.start();
await agent.start();
