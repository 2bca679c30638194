import { acceptedContent, inputRequired, inputResponse, type McpServer, type RequestStateCodec, type ServerContext } from "@modelcontextprotocol/server";
import { z } from "zod";
import { clientCapabilities, text } from "./fixture-contents.ts";

const none = z.object({});
const object = (properties: Record<string, object>) => ({ type: "object", properties, required: Object.keys(properties) });
const ask = (message: string, properties: Record<string, object>) => inputRequired.elicit({ message, requestedSchema: object(properties) as never });
const sample = (question: string, maxTokens: number) =>
  inputRequired.createMessage({ messages: [{ role: "user", content: { type: "text", text: question } }], maxTokens });

/** Tools and a prompt that need something of their caller first: in rounds (2026-07-28), or asked on the spot (2025). */
export function inputs(server: McpServer, codec: RequestStateCodec): void {
  const answers = ({ mcpReq }: ServerContext) => mcpReq.inputResponses;
  const said = ({ mcpReq }: ServerContext, key: string) => inputResponse(mcpReq.inputResponses, key);
  const tool = (name: string, play: (context: ServerContext) => Promise<unknown>) =>
    server.registerTool(`test_input_required_result_${name}`, { description: `Fixture ${name}`, inputSchema: none }, ((_: unknown, context: ServerContext) =>
      play(context)) as never);

  tool("elicitation", async (context) => {
    const name = acceptedContent(answers(context), "user_name")?.["name"];
    if (typeof name === "string") return text(`Hello, ${name}!`);
    return inputRequired({ inputRequests: { user_name: ask("What is your name?", { name: { type: "string" } }) } });
  });
  tool("sampling", async (context) => {
    const answer = said(context, "capital_question");
    if (answer.kind === "sampling") return text(JSON.stringify(answer.result.content));
    return inputRequired({ inputRequests: { capital_question: sample("What is the capital of France?", 100) } });
  });
  tool("list_roots", async (context) => {
    const answer = said(context, "client_roots");
    if (answer.kind === "roots") return text(answer.roots.map((root) => root.uri).join(" "));
    return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  });
  for (const name of ["request_state", "tampered_state"])
    tool(name, async (context) => {
      if (context.mcpReq.requestState() !== undefined && said(context, "confirm").kind === "elicit") return text("state-ok");
      return inputRequired({ inputRequests: { confirm: ask("Please confirm", { ok: { type: "boolean" } }) }, requestState: await codec.mint("asked") });
    });
  tool("multiple_inputs", async (context) => {
    if (["user_name", "greeting", "client_roots"].every((key) => said(context, key).kind !== "missing")) return text("all there");
    return inputRequired({
      inputRequests: {
        user_name: ask("What is your name?", { name: { type: "string" } }),
        greeting: sample("Generate a greeting", 50),
        client_roots: inputRequired.listRoots(),
      },
      requestState: await codec.mint("asked for three"),
    });
  });
  tool("multi_round", async (context) => {
    const state = context.mcpReq.requestState<{ name?: string }>();
    const color = acceptedContent(answers(context), "step2")?.["color"];
    if (state?.name !== undefined && typeof color === "string") return text(`${state.name} likes ${color}`);
    const name = acceptedContent(answers(context), "step1")?.["name"];
    if (typeof name === "string")
      return inputRequired({
        inputRequests: { step2: ask("Step 2: What is your favorite color?", { color: { type: "string" } }) },
        requestState: await codec.mint({ name }),
      });
    return inputRequired({ inputRequests: { step1: ask("Step 1: What is your name?", { name: { type: "string" } }) }, requestState: await codec.mint({}) });
  });
  /** Asks only for what this client said it can answer. */
  tool("capabilities", async (context) => {
    const can = clientCapabilities(context);
    return inputRequired({
      inputRequests: {
        ...(can.elicitation ? { user_name: ask("What is your name?", { name: { type: "string" } }) } : {}),
        ...(can.sampling ? { greeting: sample("Generate a greeting", 50) } : {}),
      },
      requestState: await codec.mint("asked"),
    });
  });
  server.registerPrompt("test_input_required_result_prompt", { description: "Needs a context" }, ((context: ServerContext) => {
    const given = acceptedContent(answers(context), "user_context")?.["context"];
    if (typeof given === "string") return { messages: [{ role: "user", content: { type: "text", text: given } }] };
    return inputRequired({ inputRequests: { user_context: ask("What context should the prompt use?", { context: { type: "string" } }) } });
  }) as never);
  askedOnTheSpot(server);
}

/** 2025: the server sends its own requests inside the call. */
function askedOnTheSpot(server: McpServer): void {
  server.registerTool(
    "test_sampling",
    { description: "Asks the client's model", inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, { mcpReq }) => {
      const answer = await mcpReq.requestSampling({ messages: [{ role: "user", content: { type: "text", text: prompt } }], maxTokens: 100 });
      return text(`LLM response: ${JSON.stringify(answer.content)}`);
    },
  );
  const asks = (name: string, properties: Record<string, object>, required: string[]) =>
    server.registerTool(
      name,
      { description: "Asks the client's user", inputSchema: z.object({ message: z.string().optional() }) },
      async ({ message }, { mcpReq }) => {
        const answer = await mcpReq.elicitInput({ message: message ?? "Please fill in", requestedSchema: { type: "object", properties, required } as never });
        return text(`Elicitation completed: action=${answer.action}, content=${JSON.stringify(answer.content)}`);
      },
    );
  asks("test_elicitation", { username: { type: "string" }, email: { type: "string" } }, ["username", "email"]);
  asks(
    "test_elicitation_sep1034_defaults",
    {
      name: { type: "string", default: "John Doe" },
      age: { type: "integer", default: 30 },
      score: { type: "number", default: 95.5 },
      status: { type: "string", enum: ["active", "inactive", "pending"], default: "active" },
      verified: { type: "boolean", default: true },
    },
    [],
  );
  const titled = ["First", "Second", "Third"].map((title, n) => ({ const: `value${n + 1}`, title: `${title} Option` }));
  const options = ["option1", "option2", "option3"];
  asks(
    "test_elicitation_sep1330_enums",
    {
      untitledSingle: { type: "string", enum: options },
      titledSingle: { type: "string", oneOf: titled },
      legacyEnum: { type: "string", enum: ["opt1", "opt2", "opt3"], enumNames: ["Option One", "Option Two", "Option Three"] },
      untitledMulti: { type: "array", items: { type: "string", enum: options } },
      titledMulti: { type: "array", items: { anyOf: titled } },
    },
    [],
  );
}
