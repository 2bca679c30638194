import { CLIENT_CAPABILITIES_META_KEY, completable, fromJsonSchema, type McpServer, ResourceTemplate, type ServerContext } from "@modelcontextprotocol/server";
import { z } from "zod";

/** 1 × 1 pixel. */
const png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
/** A header, no samples. */
const wav = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";

const say = (text: string) => ({ type: "text" as const, text });
const image = { type: "image" as const, data: png, mimeType: "image/png" };
const resource = (uri: string, mimeType: string, text: string) => ({ type: "resource" as const, resource: { uri, mimeType, text } });

/** Every kind of content, from tools, resources and prompts. */
export function contents(server: McpServer): void {
  const tool = (name: string, content: unknown[]) =>
    server.registerTool(name, { description: `Fixture ${name}`, inputSchema: z.object({}) }, (() => ({ content })) as never);
  tool("test_simple_text", [say("This is a simple text response for testing.")]);
  tool("test_image_content", [image]);
  tool("test_audio_content", [{ type: "audio", data: wav, mimeType: "audio/wav" }]);
  tool("test_embedded_resource", [resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]);
  tool("test_multiple_content_types", [
    say("Multiple content types test:"),
    image,
    resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
  ]);
  server.registerTool("test_error_handling", { description: "Always throws", inputSchema: z.object({}) }, () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
  schemas(server);
  resources(server);
  prompts(server);
}

/** Schemas that must reach the client word for word. */
function schemas(server: McpServer): void {
  const vocabulary = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    $defs: {
      address: { $anchor: "addressDef", type: "object", properties: { street: { type: "string" }, city: { type: "string" } } },
    },
    properties: {
      name: { type: "string" },
      address: { $ref: "#/$defs/address" },
      contactMethod: { type: "string", enum: ["phone", "email"] },
      phone: { type: "string" },
      email: { type: "string" },
    },
    allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
    if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
    // oxlint-disable-next-line unicorn/no-thenable
    then: { required: ["phone"] },
    else: { required: ["email"] },
    additionalProperties: false,
  };
  server.registerTool(
    "json_schema_2020_12_tool",
    { description: "Tool with JSON Schema 2020-12 features", inputSchema: fromJsonSchema(vocabulary as never) },
    () => ({ content: [say("ok")] }),
  );
  const mirrored = { type: "object", properties: { region: { type: "string", description: "Mirrored into a header", "x-mcp-header": "Region" } } };
  server.registerTool("test_x_mcp_header", { description: "An argument that is a header too", inputSchema: fromJsonSchema(mirrored as never) }, () => ({
    content: [say("ok")],
  }));
}

function resources(server: McpServer): void {
  const plain = { mimeType: "text/plain" };
  server.registerResource("static-text", "test://static-text", plain, ({ href: uri }) => ({
    contents: [{ uri, ...plain, text: "This is the content of the static text resource." }],
  }));
  server.registerResource("static-binary", "test://static-binary", { mimeType: "image/png" }, ({ href: uri }) => ({
    contents: [{ uri, mimeType: "image/png", blob: png }],
  }));
  server.registerResource("watched", "test://watched-resource", plain, ({ href: uri }) => ({ contents: [{ uri, ...plain, text: "never changes" }] }));
  server.registerResource("template", new ResourceTemplate("test://template/{id}/data", { list: undefined }), {}, ({ href: uri }, { id }) => ({
    contents: [{ uri, mimeType: "application/json", text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` }) }],
  }));
}

function prompts(server: McpServer): void {
  const messages = (...all: object[]) => ({ messages: all.map((content) => ({ role: "user", content })) }) as never;
  server.registerPrompt("test_simple_prompt", { description: "One message" }, () => messages(say("This is a simple prompt for testing.")));
  const argument = completable(z.string(), (typed) => ["paris", "parma", "park"].filter((word) => word.startsWith(typed)));
  server.registerPrompt(
    "test_prompt_with_arguments",
    { description: "Two arguments", argsSchema: z.object({ arg1: argument, arg2: z.string() }) },
    ({ arg1, arg2 }) => messages(say(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
  );
  server.registerPrompt(
    "test_prompt_with_embedded_resource",
    { description: "A resource inside", argsSchema: z.object({ resourceUri: z.string() }) },
    ({ resourceUri }) =>
      messages(resource(resourceUri, "text/plain", "Embedded resource content for testing."), say("Please process the embedded resource above.")),
  );
  server.registerPrompt("test_prompt_with_image", { description: "An image inside" }, () => messages(image, say("Please analyze the image above.")));
}

export function text(said: string): { content: { type: "text"; text: string }[] } {
  return { content: [say(said)] };
}

/** What the client of a 2026-07-28 request says it can do. */
export function clientCapabilities(context: ServerContext): { sampling?: unknown; elicitation?: unknown; extensions?: Record<string, unknown> } {
  return (context.mcpReq.envelope as Record<string, object> | undefined)?.[CLIENT_CAPABILITIES_META_KEY] ?? {};
}
