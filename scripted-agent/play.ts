import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync, existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { HomeFiles, Place } from "./home-files.ts";
import { filled, type Tools } from "./mcp.ts";
import type { Step } from "./scenario.ts";
import type { Wire } from "./wire.ts";

/** What a step needs. `cancel` fires on session/cancel. */
export interface Stage {
  wire: Wire;
  home: HomeFiles;
  sessionId: string;
  cwd: string;
  tools: Tools;
  place: Place;
  cancel: AbortSignal;
  said(text: string): void;
  ignoreSignals(): void;
  keep(): void;
}

/** `go`: the next step; `stop`: the turn ends here. Throws when it was cancelled. */
type Next = "go" | "stop";

/** Plays one step for real: files are written, commands run. Errors: an AbortError after session/cancel, `{code, message}` of step `error`. */
export async function play(stage: Stage, step: Step, index: number): Promise<Next> {
  const { wire, home, sessionId, place } = stage;
  // Unique over processes: a resumed conversation goes on in another one.
  const id = `t${place.turn}.${index}.${Date.now().toString(36)}`;
  const update = (kind: string, rest: Record<string, unknown>): Promise<void> => wire.update(sessionId, { sessionUpdate: kind, ...rest });
  const say = async (text: string): Promise<void> => {
    stage.said(text);
    for (const part of text.match(/[\s\S]{1,400}/g) ?? []) await update("agent_message_chunk", { messageId: id, content: { type: "text", text: part } });
  };

  switch (step.do) {
    case "say":
      await say(step.text);
      break;
    case "think":
      await update("agent_thought_chunk", { messageId: id, content: { type: "text", text: step.text } });
      break;
    case "plan":
      await update("plan", { entries: step.entries.map((one) => ({ content: one.text, status: one.status, priority: "medium" })) });
      break;
    case "verdict": {
      const { decision, score, summary, findings } = step;
      await say("```json\n" + JSON.stringify({ decision, score, summary, findings }, null, 2) + "\n```");
      break;
    }
    case "edit": {
      const path = resolve(stage.cwd, step.path);
      const before = existsSync(path) ? readFileSync(path, "utf8") : null;
      const after = step.append === undefined ? (step.content ?? "") : (before ?? "") + step.append;
      await update("tool_call", {
        toolCallId: id,
        title: `Edit ${step.path}`,
        name: "edit",
        kind: "edit",
        status: "in_progress",
        rawInput: { path: step.path },
        locations: [{ path }],
      });
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, after);
      await update("tool_call_update", { toolCallId: id, status: "completed", content: [{ type: "diff", path, oldText: before, newText: after }] });
      break;
    }
    case "run":
      await run(stage, id, step.command);
      break;
    case "ask": {
      const kind = step.kind ?? "execute";
      const call = { toolCallId: id, title: step.title, name: step.title, kind, status: "pending", rawInput: step.input ?? { command: step.title } };
      await update("tool_call", call);
      const options = step.options ?? [
        { optionId: "once", name: "Allow", kind: "allow_once" },
        { optionId: "always", name: "Always allow", kind: "allow_always" },
        { optionId: "no", name: "Reject", kind: "reject_once" },
      ];
      const answer = (await wire.request("session/request_permission", { sessionId, toolCall: call, options }))["outcome"] as
        | { outcome?: string; optionId?: string }
        | undefined;
      if (answer?.outcome !== "selected") stage.cancel.throwIfAborted();
      const chosen = options.find((one) => one.optionId === answer?.optionId);
      const allowed = chosen?.kind.startsWith("allow") ?? false;
      await update("tool_call_update", { toolCallId: id, status: allowed ? "completed" : "failed" });
      if (allowed) break;
      if (!step.onDeny) return "stop";
      for (const [n, other] of step.onDeny.entries()) if ((await play(stage, other, index * 100 + n)) === "stop") return "stop";
      break;
    }
    case "wait":
      await sleep(step.ms, undefined, { signal: stage.cancel });
      break;
    case "flood": {
      const text = "x".repeat(Math.max(0, (step.bytes ?? 100) - 1)) + "\n";
      for (let n = 0; n < step.count; n++) {
        stage.cancel.throwIfAborted();
        await update("agent_message_chunk", { messageId: id, content: { type: "text", text } });
      }
      break;
    }
    case "numbered":
      for (let n = place.done + 1; n <= step.count; n++) {
        await update("tool_call", {
          toolCallId: `n${place.turn}.${index}.${n}`,
          title: `number ${n}`,
          name: "number",
          kind: "other",
          status: "in_progress",
          rawInput: { n },
        });
        await update("tool_call_update", {
          toolCallId: `n${place.turn}.${index}.${n}`,
          status: "completed",
          content: [{ type: "content", content: { type: "text", text: String(n) } }],
        });
        // After it went out: what stands in the log must be found in the events.
        home.emitted(n);
        place.done = n;
        stage.keep();
        if (step.everyMs > 0) await sleep(step.everyMs, undefined, { signal: stage.cancel });
        else stage.cancel.throwIfAborted();
      }
      break;
    case "call":
      for (let n = place.done + 1; n <= (step.times ?? 1); n++) {
        const args = filled(step.args, { ...place.answers, n }) as Record<string, unknown>;
        const toolCallId = `${id}.${n}`;
        await update("tool_call", { toolCallId, title: step.tool, name: step.tool, kind: "other", status: "in_progress", rawInput: args });
        const answer = await stage.tools.call(step.tool, args, stage.cancel).catch((error: Error): Record<string, unknown> => {
          stage.cancel.throwIfAborted();
          return { ok: false, error: { message: error.message } };
        });
        const text = JSON.stringify(answer);
        await update("tool_call_update", {
          toolCallId,
          status: answer["ok"] === true ? "completed" : "failed",
          content: [{ type: "content", content: { type: "text", text } }],
        });
        place.answers = { ...place.answers, ...(answer["data"] as object | undefined) };
        place.done = n;
        stage.keep();
        await say(`${text}\n`);
      }
      break;
    case "raw":
      await wire.line(step.line);
      break;
    case "error":
      throw Object.assign(new Error(step.message), { code: step.code ?? -32603 });
    // A timer that nobody awaits keeps the process alive, also when stdin has ended: it hangs and hears nothing.
    case "hang":
      setInterval(() => undefined, 60_000);
      await new Promise(() => undefined);
      break;
    case "exit":
      place.step = index + 1;
      stage.keep();
      home.log(`exit ${step.code}`);
      process.exit(step.code);
    case "ignoreSignals": {
      stage.ignoreSignals();
      for (let n = 0; n < (step.children ?? 0); n++) {
        const child = spawn("sh", ["-c", "trap '' TERM INT HUP; while :; do sleep 1; done"], { detached: true, stdio: "ignore" });
        home.log(`child ${child.pid}`);
      }
    }
  }
  return "go";
}

/** A command in a session of its own, as real agents run theirs; ended with the turn when it is cancelled. */
async function run(stage: Stage, id: string, command: string): Promise<void> {
  const update = (kind: string, rest: Record<string, unknown>): Promise<void> =>
    stage.wire.update(stage.sessionId, { sessionUpdate: kind, toolCallId: id, ...rest });
  await update("tool_call", { title: command, name: "shell", kind: "execute", status: "in_progress", rawInput: { command, cwd: stage.cwd } });
  const child = spawn("sh", ["-c", command], { cwd: stage.cwd, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const kill = (): void => {
    try {
      process.kill(-(child.pid ?? 0), "SIGKILL");
    } catch {
      /* it is over */
    }
  };
  stage.cancel.addEventListener("abort", kill, { once: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (piece: string) => {
      output += piece;
      void update("tool_call_update", { status: "in_progress", content: [{ type: "content", content: { type: "text", text: output } }] });
    });
  const code = await new Promise<number | null>((done) => {
    child.once("close", done);
  });
  stage.cancel.removeEventListener("abort", kill);
  stage.cancel.throwIfAborted();
  await update("tool_call_update", {
    status: code === 0 ? "completed" : "failed",
    content: [{ type: "content", content: { type: "text", text: output } }],
    rawOutput: { exit_code: code },
  });
}
