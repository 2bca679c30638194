import { setTimeout as sleep } from "node:timers/promises";
import { noUsage } from "../contracts/event.ts";
import type { EventData, TurnFailure } from "../contracts/event.ts";
import { acpCapabilities, ProviderOpenError } from "../contracts/provider.ts";
import type { LaunchSpec, ProviderDriver, ProviderSession, Sink, TurnEnd } from "../contracts/provider.ts";
import type { SpoolRecord } from "../contracts/runner-protocol.ts";
import { textMask } from "../contracts/text-mask.ts";
import { classify, errorSaidAsMessage, failureOf } from "./acp-failure.ts";
import { openConversation } from "./acp-handshake.ts";
import { costOf, threadStatusOf, turnMapping, usageOf } from "./acp-mapping.ts";
import type { TurnMapping } from "./acp-mapping.ts";
import { acpPermissions } from "./acp-permissions.ts";
import { event, objectOf, textOf } from "./acp-tools.ts";
import type { Json } from "./acp-tools.ts";
import { startAgent } from "./agent-process.ts";
import { jsonOf } from "./bounded.ts";
import { deltaCoalescer } from "./delta-coalescer.ts";
import { RpcError, rpcPeer } from "./json-rpc-peer.ts";
import { stallWatch } from "./stall-watch.ts";
import { stopLadder } from "./stop-ladder.ts";

interface OpenTurn {
  turnId: string;
  mapping: TurnMapping;
  interrupted: boolean;
  stalled: boolean;
  costBefore: number;
  /** the last that the agent said of its thread */
  threadStatus: string;
}

/** Drives any agent that speaks ACP version 1 over stdio. */
export const acpDriver: ProviderDriver = {
  kind: "acp",
  capabilities: () => acpCapabilities,
  open,
};

async function open(spec: LaunchSpec, sink: Sink): Promise<ProviderSession> {
  let turn: OpenTurn | null = null;
  let hadTurn = false;
  let closing: Promise<void> | null = null;
  let silenceExpected = false;
  let lastHeard = performance.now();
  let rawRef: { file: string; offset: number; bytes: number } | undefined;
  /** Of the whole conversation, as the agent counts it; a turn costs the difference. */
  let cost = spec.resume === undefined ? 0 : (spec.costBefore ?? 0);
  let costSaid = false;
  const mask = textMask(spec.secrets);
  /** Nobody knows the half of a secret: it is masked before a cut. */
  const start = (text: string, most: number): string => mask(text).slice(0, most);
  const permissions = acpPermissions(spec, spec.tools);
  const out = deltaCoalescer((record) => sink.write(record));

  /** Where the fact came from goes with it, so that it can be mapped again. Before its first turn an agent is being opened for that one. */
  function write(record: SpoolRecord): void {
    if (record.kind !== "event") return out.write(record);
    const { type, data } = record.event;
    const between = turn === null && hadTurn ? { turnId: null } : {};
    const cut = type === "line.unparsed" ? { data: { ...data, text: start((data as EventData["line.unparsed"]).text, 4_096) } } : {};
    out.write({ ...record, event: { ...between, ...record.event, ...cut, ...(rawRef ? { rawRef } : {}) } });
  }
  const unparsed = (text: string, reason: string): void => write(event("line.unparsed", { text, reason }, { turnId: turn?.turnId }));

  /** Some agents talk of other conversations on the same wire; those are not this session's work. */
  const foreign = (params: Json): boolean => conversationId !== "" && typeof params["sessionId"] === "string" && params["sessionId"] !== conversationId;

  const peer = rpcPeer({
    send: (line) => agent.send(line),
    unparsed,
    onNotification(method, params) {
      if (method !== "session/update") {
        if (!method.startsWith("_") && !method.startsWith("$/")) unparsed(JSON.stringify({ method, params }), `an unknown notification: ${method}`);
        return;
      }
      if (foreign(params)) return unparsed(jsonOf(params) ?? "[nested too deep]", "an update of another conversation");
      const update = objectOf(params["update"]);
      const said = costOf(update);
      if (said !== null && !costSaid && said < cost) {
        // Less than was spent before it was resumed: this agent counts what its own process spends.
        cost = 0;
        if (turn) turn.costBefore = 0;
      }
      costSaid ||= said !== null;
      const before = cost;
      cost = said ?? cost;
      if (spec.reportCost && turn && cost > before) write(event("usage.reported", { costMicros: cost - turn.costBefore }, { turnId: turn.turnId }));
      if (turn) turn.threadStatus = threadStatusOf(update) || turn.threadStatus;
      // Outside a turn there is only the replay of an old conversation: it was recorded when it happened.
      turn?.mapping.update(update).forEach(write);
    },
    async onRequest(method, params) {
      if (method !== "session/request_permission") throw new RpcError(-32601, `${method} is not offered`, undefined);
      if (foreign(params)) throw new RpcError(-32602, "that is another conversation", undefined);
      const asking = turn;
      if (!asking || asking.interrupted) return { outcome: { outcome: "cancelled" } };
      const call = objectOf(params["toolCall"]);
      const toolCallId = textOf(call["toolCallId"]);
      [...asking.mapping.flush(), ...asking.mapping.tools.upsert(call, true)].forEach(write);
      return permissions.ask({
        turnId: asking.turnId,
        itemId: asking.mapping.tools.itemId(toolCallId),
        call: asking.mapping.tools.asked(call),
        options: params["options"],
        write,
        denied: () => asking.mapping.tools.denied(toolCallId),
        stop: () => void interrupt(),
      });
    },
  });

  const agent = await startAgent(spec, {
    line(text) {
      lastHeard = performance.now();
      rawRef = sink.raw(text);
      try {
        peer.receive(text);
      } catch (error) {
        unparsed(text, `the driver failed on it: ${(error as Error).message}`);
      }
      rawRef = undefined;
    },
    tooLong: (start) => {
      lastHeard = performance.now();
      unparsed(start, "a line above 8 MB");
    },
    beforeRead: () => sink.blocked?.() ?? null,
  });

  let conversationId = "";
  const exited = agent.exited.then((exit) => {
    const failure = agentExited(exit, agent.stderrTail());
    write(
      event("process.exited", { pid: agent.pid, ...exit, stderrTail: agent.stderrTail().slice(-4_096), expected: closing !== null }, { turnId: turn?.turnId }),
    );
    out.flush();
    permissions.cancelAll();
    peer.fail(new ProviderOpenError(failure));
    return exit;
  });

  async function interrupt(): Promise<void> {
    if (!turn || turn.interrupted) return;
    turn.interrupted = true;
    permissions.cancelAll();
    peer.notify("session/cancel", { sessionId: conversationId });
  }

  /** Idempotent: a second caller waits for the first ladder. Sends no cancel: an agent that is to be resumed would keep it as the user's "stop". */
  function close(graceMs: number): Promise<void> {
    closing ??= (async () => {
      const left = await stopLadder({ child: agent.child, self: agent.self, exited, sessionUlid: spec.sessionUlid, runnerId: spec.runnerId, graceMs });
      if (left.length > 0)
        write(event("notice.raised", { message: `these processes of the agent could not be ended: ${left.map((one) => one.pid).join(", ")}` }));
      out.flush();
    })();
    return closing;
  }

  // It can never answer again. Without this the turn would wait for the stall watch.
  void agent.outputEnded.then(async () => {
    const lives = await Promise.race([exited.then(() => false), sleep(2_000, true, { ref: false })]);
    if (!lives || closing) return;
    write(event("notice.raised", { message: "the agent closed its output and is ended" }, { turnId: turn?.turnId }));
    await close(2_000);
  });

  let first: string | undefined;
  try {
    const { notices, ...opened } = await openConversation(peer, spec, () => lastHeard);
    conversationId = opened.providerSessionId;
    if (!opened.resumed) first = spec.systemPrompt;
    write(event("session.agent_ready", opened));
    for (const message of notices) write(event("notice.raised", { message }));
  } catch (error) {
    await close(2_000);
    const failure = error instanceof ProviderOpenError ? error.failure : failureOf(error);
    throw new ProviderOpenError({ ...failure, message: start(failure.message, 2_000) });
  }

  async function prompt(turnId: string, _inputId: string, text: string): Promise<TurnEnd> {
    silenceExpected = false;
    const current: OpenTurn = {
      turnId,
      mapping: turnMapping(turnId, spec.runnerId, mask),
      interrupted: false,
      stalled: false,
      costBefore: cost,
      threadStatus: "",
    };
    turn = current;
    hadTurn = true;
    lastHeard = performance.now();
    const watch = stallWatch({
      stallMs: spec.stallMs,
      lastHeard: () => lastHeard,
      paused: () => silenceExpected || permissions.waiting(),
      notice: (message) => write(event("notice.raised", { message }, { turnId })),
      stalled() {
        current.stalled = true;
        void interrupt();
      },
      hopeless: () => void close(2_000),
    });
    const parts = [...(first === undefined ? [] : [first]), text].map((part) => ({ type: "text", text: part }));
    first = undefined;
    let answer: Json = {};
    let failure: TurnFailure | undefined;
    try {
      answer = objectOf(await peer.request("session/prompt", { sessionId: conversationId, prompt: parts }));
    } catch (error) {
      failure = error instanceof ProviderOpenError ? error.failure : failureOf(error);
    }
    watch.stop();
    // Whoever answered them now would be heard by nobody, and for as long as one is open silence is no stall.
    permissions.cancelAll();
    current.mapping.end().forEach(write);
    turn = null;
    const tokens = usageOf(answer);
    const usage = { ...noUsage, ...tokens, costMicros: Math.max(0, cost - current.costBefore) };
    if (tokens || usage.costMicros > 0) write(event("usage.reported", usage, { turnId }));
    out.flush();
    return turnEnd({ ...current, answer, failure, finalMessage: current.mapping.finalMessage(), usage, start });
  }

  return {
    get providerSessionId() {
      return conversationId;
    },
    pid: agent.pid,
    prompt,
    interrupt,
    respond: (id, decision) => permissions.respond(id, decision),
    expectSilence: (expected) => (silenceExpected = expected),
    close,
    exited,
  };
}

function agentExited(exit: { code: number | null; signal: string | null }, stderr: string): TurnFailure {
  const how = exit.signal === null ? `with code ${exit.code}` : `by ${exit.signal}`;
  const said = stderr.trim().slice(-1_000);
  return { class: "agent_exited", message: `the agent ended ${how}${said ? `: ${said}` : ""}`, retryable: true };
}

/** What the agent's last answer means. Our own interrupt explains any end but a normal one. */
function turnEnd(a: {
  answer: Json;
  failure: TurnFailure | undefined;
  finalMessage: string;
  usage: TurnEnd["usage"];
  interrupted: boolean;
  stalled: boolean;
  threadStatus: string;
  /** the first characters of a text */
  start(text: string, most: number): string;
}): TurnEnd {
  const stopReason = textOf(a.answer["stopReason"]);
  const base = { usage: a.usage, finalMessage: a.finalMessage, ...(stopReason ? { stopReason: a.start(stopReason, 200) } : {}) };
  const failed = (failure: TurnFailure): TurnEnd => ({ ...base, outcome: "failed", failure: { ...failure, message: a.start(failure.message, 2_000) } });
  if (a.stalled && stopReason !== "end_turn")
    return failed({ class: "stalled", message: "the agent said nothing for too long and was interrupted", retryable: true });
  if (a.interrupted && stopReason !== "end_turn") return { ...base, outcome: "interrupted" };
  if (a.failure) return failed(a.failure);
  switch (stopReason) {
    case "end_turn": {
      if (a.threadStatus === "systemError") return failed(classify(a.finalMessage || "the agent says that its thread failed, and not why"));
      const said = usageOf(a.answer) === null ? errorSaidAsMessage(a.finalMessage) : null;
      return said ? failed(said) : { ...base, outcome: "completed" };
    }
    case "cancelled":
      return { ...base, outcome: "interrupted" };
    case "max_tokens":
    case "max_turn_requests":
      return { ...base, outcome: "limit" };
    case "refusal":
      return failed({ class: "refusal", message: "the agent refused the prompt", retryable: false });
    default:
      return failed({
        class: "protocol",
        message: `the agent ended the turn with ${stopReason ? `an unknown reason: ${stopReason}` : "no reason"}`,
        retryable: false,
      });
  }
}
