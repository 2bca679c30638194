import { setTimeout as sleep } from "node:timers/promises";
import { ProviderOpenError } from "../contracts/provider.ts";
import type { LaunchSpec } from "../contracts/provider.ts";
import { textMask } from "../contracts/text-mask.ts";
import { failureOf } from "./acp-failure.ts";
import { objectOf, textOf } from "./acp-tools.ts";
import { mcpServers } from "./acp-mcp-servers.ts";
import { shown } from "./bounded.ts";
import type { Json } from "./acp-tools.ts";
import type { RpcPeer } from "./json-rpc-peer.ts";

export interface Conversation {
  providerSessionId: string;
  resumed: boolean;
  resumable: boolean;
  agent?: { name: string; version: string };
  notices: string[];
}

const handshakeMs = 60_000;

/**
 * Agrees on the protocol and opens a new conversation, or `spec.resume`.
 * @param quiet when the agent last said something, on performance.now(): a replay has no end of its own
 * Errors: ProviderOpenError `handshake`, `auth`, `session_not_found`, `model_not_found`, …
 */
export async function openConversation(peer: RpcPeer, spec: LaunchSpec, quiet: () => number): Promise<Conversation> {
  const answer = await ask(
    peer,
    "initialize",
    {
      protocolVersion: 1,
      clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
      clientInfo: { name: "baton", version: "1" },
    },
    "handshake",
  );
  const mask = textMask(spec.secrets);
  if (answer["protocolVersion"] !== 1)
    throw new ProviderOpenError({
      class: "handshake",
      message: `the agent speaks ACP version ${JSON.stringify(shown(answer["protocolVersion"], mask, 100))}, not 1`,
      retryable: false,
    });
  const info = objectOf(answer["agentInfo"]);
  const agent = textOf(info["name"]) ? { agent: { name: mask(textOf(info["name"])).slice(0, 200), version: mask(textOf(info["version"])).slice(0, 200) } } : {};
  const place = { cwd: spec.cwd, mcpServers: mcpServers(spec, objectOf(answer["agentCapabilities"])) };
  const notices: string[] = [];

  const can = objectOf(answer["agentCapabilities"]);
  const how = "resume" in objectOf(can["sessionCapabilities"]) ? "session/resume" : can["loadSession"] === true ? "session/load" : null;
  if (spec.resume === undefined) {
    const made = await ask(peer, "session/new", place, "handshake");
    const providerSessionId = textOf(made["sessionId"]);
    if (providerSessionId === "") throw new ProviderOpenError({ class: "handshake", message: "session/new gave no session id", retryable: false });
    // It goes to Postgres and, with the turn's end, to Temporal, and must come back unchanged.
    if (providerSessionId.length > 1_000 || providerSessionId.includes("\0") || !providerSessionId.isWellFormed())
      throw new ProviderOpenError({ class: "handshake", message: "session/new gave a session id that cannot be kept", retryable: false });
    await chooseModel(peer, spec, providerSessionId, made, notices);
    return { providerSessionId, resumed: false, resumable: how !== null, ...agent, notices };
  }

  if (how === null) throw new ProviderOpenError({ class: "session_not_found", message: "the agent cannot go on with an old conversation", retryable: false });
  const loaded = await ask(peer, how, { ...place, sessionId: spec.resume }, "session_not_found");
  // A replay may come after the answer: one agent mixes it into the next prompt, where it would be taken for new work.
  if (how === "session/load") for (const end = performance.now() + 3_000; performance.now() < end && performance.now() - quiet() < 300;) await sleep(50);
  await chooseModel(peer, spec, spec.resume, loaded, notices);
  return { providerSessionId: spec.resume, resumed: true, resumable: true, ...agent, notices };
}

async function chooseModel(peer: RpcPeer, spec: LaunchSpec, sessionId: string, opened: Json, notices: string[]): Promise<void> {
  if (spec.model === undefined) return;
  const list = (value: unknown): Json[] => (Array.isArray(value) ? value.map(objectOf) : []);
  const option = list(opened["configOptions"]).find((one) => one["id"] === "model" || one["category"] === "model");
  const models = objectOf(opened["models"]);
  const known = [...list(option?.["options"]).map((one) => textOf(one["value"])), ...list(models["availableModels"]).map((one) => textOf(one["modelId"]))];
  if (known.length === 0) {
    notices.push(`the agent takes no model over its protocol: ${spec.model} was not set`);
    return;
  }
  if (!known.includes(spec.model))
    throw new ProviderOpenError({
      class: "model_not_found",
      message: `the agent has no model ${spec.model}; it has: ${known.slice(0, 30).join(", ")}`,
      retryable: false,
    });
  if (option) await ask(peer, "session/set_config_option", { sessionId, configId: textOf(option["id"]), value: spec.model }, "handshake");
  else await ask(peer, "session/set_model", { sessionId, modelId: spec.model }, "handshake");
}

/** One request with a time limit; a failure whose text says nothing gets the class `otherwise`. */
async function ask(peer: RpcPeer, method: string, params: Json, otherwise: string): Promise<Json> {
  const late = new AbortController();
  const limit = sleep(handshakeMs, undefined, { signal: late.signal }).then(() => {
    throw new ProviderOpenError({ class: "handshake", message: `no answer to ${method} in ${handshakeMs / 1000} s`, retryable: true });
  });
  limit.catch(() => undefined);
  try {
    return objectOf(await Promise.race([peer.request(method, params), limit]));
  } catch (error) {
    if (error instanceof ProviderOpenError) throw error;
    const failure = failureOf(error);
    const vague = failure.class === "unknown" || (otherwise === "session_not_found" && failure.class === "invalid_request");
    throw new ProviderOpenError({ ...failure, class: vague ? otherwise : failure.class, message: `${method}: ${failure.message}` });
  } finally {
    late.abort();
  }
}
