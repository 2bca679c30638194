import { createHash } from "node:crypto";
import { permissionDetail } from "../contracts/permission-detail.ts";
import type { ApprovalDecision, LaunchSpec } from "../contracts/provider.ts";
import type { SpoolRecord } from "../contracts/runner-protocol.ts";
import { textMask } from "../contracts/text-mask.ts";
import { event, objectOf, textOf } from "./acp-tools.ts";
import type { Json } from "./acp-tools.ts";
import { jsonOf, shown } from "./bounded.ts";
import { grantKey } from "./grant-key.ts";
import { decide, type Permissions } from "./permission-rules.ts";
import { newUlid } from "./ulid.ts";

type Outcome = { outcome: { outcome: "cancelled" } | { outcome: "selected"; optionId: string } };
interface Pending {
  answer(decision: ApprovalDecision | "cancelled"): void;
}

/** The permissions an agent waits for. */
export interface AcpPermissions {
  /** Resolves with what the agent is told. `call` is all that is known of it, `options` what the agent offers. `denied` is called before a refusal is sent. */
  ask(a: { turnId: string; itemId: string; call: Json; options: unknown; denied(): void; stop(): void; write(record: SpoolRecord): void }): Promise<Outcome>;
  respond(approvalId: string, decision: ApprovalDecision): boolean;
  /** ACP asks that a client which cancels answers what is open with `cancelled`. */
  cancelAll(): void;
  waiting(): boolean;
}

const cancelled: Outcome = { outcome: { outcome: "cancelled" } };

/** Which of the agent's options means a decision; `deny` falls back to nothing, never to a permission. */
function optionFor(options: Json[], decision: ApprovalDecision): string | null {
  const kinds = {
    allow: ["allow_once", "allow_always"],
    allow_always: ["allow_always", "allow_once"],
    deny: ["reject_once", "reject_always"],
    deny_stop: ["reject_once", "reject_always"],
  }[decision];
  for (const kind of kinds) {
    const found = options.find((one) => one["kind"] === kind);
    if (found) return textOf(found["optionId"]);
  }
  return null;
}

/** What an identical request says again. Null: it has no arguments, so that no two are known to be the same. */
function identityOf(call: Json, { tool, kind }: { tool: string; kind: string }): string | null {
  const diffs = Array.isArray(call["content"]) ? call["content"].filter((one) => objectOf(one)["type"] === "diff") : [];
  const said = [call["rawInput"] ?? {}, call["locations"] ?? [], diffs];
  return said.every((one) => typeof one === "object" && Object.keys(one as object).length === 0) ? null : jsonOf([tool, kind, ...said]);
}

/**
 * Answers by the session's permissions; where they say `ask`, as `allow_always` was answered to the same request before, else it records an approval
 * and waits for `respond`. A tool that is not among `tools` is denied unasked.
 */
export function acpPermissions(permissions: Permissions & Pick<LaunchSpec, "remembered" | "answerWithin" | "secrets">, tools?: string[]): AcpPermissions {
  const pending = new Map<string, Pending>();
  const within = permissions.answerWithin;
  const mask = textMask(permissions.secrets);
  const start = (said: unknown, most: number): string => mask(textOf(said)).slice(0, most);
  /** the approval that allowed it, by grant key */
  const remembered = new Map((permissions.remembered ?? []).map((one) => [one.grantKey, one.approvalId]));
  const open = (call: Json): boolean => tools === undefined || tools.includes(textOf(call["kind"]) || "other") || tools.includes(textOf(call["name"]));

  return {
    ask({ turnId, itemId, call, options: given, denied, stop, write }) {
      const options = Array.isArray(given) ? given.map(objectOf) : [];
      const finish = (decision: ApprovalDecision | "cancelled"): Outcome => {
        if (decision === "cancelled") return cancelled;
        if (decision === "deny" || decision === "deny_stop") denied();
        if (decision === "deny_stop") stop();
        const optionId = optionFor(options, decision);
        return optionId === null ? cancelled : { outcome: { outcome: "selected", optionId } };
      };
      if (!open(call)) return Promise.resolve(finish("deny"));
      const { decision: said, why } = decide(permissions, call);
      if (said !== "ask") return Promise.resolve(finish(said));
      const title = start(call["title"], 2_000) || "The agent asks for permission";
      const grant = grantKey(call);
      const allowedBy = grant === null ? undefined : remembered.get(grant);
      if (allowedBy !== undefined) {
        write(event("notice.raised", { message: `allowed as approval ${allowedBy} says (allow_always): ${title}` }, { turnId, itemId }));
        return Promise.resolve(finish("allow"));
      }
      const approvalId = newUlid();
      const detail = {
        tool: start(call["name"], 2_000) || title,
        kind: start(call["kind"], 200) || "other",
        why: why.slice(0, 2_000),
        // Before the rest is cut.
        ...permissionDetail({ input: call["rawInput"], locations: call["locations"], content: call["content"] }, mask),
        // A request that does not fit into an event would be seen by nobody, and its agent would wait for ever.
        input: shown(call["rawInput"] ?? null, mask),
        locations: shown(call["locations"] ?? [], mask),
        content: shown(call["content"] ?? [], mask),
        ...(grant === null ? {} : { grantKey: grant }),
        ...(within ? { deadline: new Date(Date.now() + within.seconds * 1_000).toISOString(), onDeadline: within.onDeadline } : {}),
      };
      const requestKey = createHash("sha256")
        .update(identityOf(call, detail) ?? approvalId)
        .digest("hex");
      const offered = (["allow", "allow_always", "deny", "deny_stop"] as const).flatMap((id) => {
        const kind = { allow: "allow_once", allow_always: "allow_always", deny: "reject_once", deny_stop: "reject_once" }[id];
        // What an agent offers for always may be wider than what is asked here (all edits of its session): ours is for equal requests, and says so.
        if (id === "allow_always" && grant !== null) return [{ id, label: "Allow this and every equal request of the session", kind }];
        const label = start(options.find((one) => one["kind"] === kind)?.["name"], 200);
        if (id === "allow_always" && label === "") return [];
        return [{ id, label: id === "deny_stop" ? "Deny and stop the turn" : label || id, kind }];
      });
      return new Promise((resolve) => {
        pending.set(approvalId, {
          answer(decision) {
            pending.delete(approvalId);
            const isOurs = decision === "allow_always" && grant !== null;
            if (isOurs) remembered.set(grant, approvalId);
            resolve(finish(isOurs ? "allow" : decision));
          },
        });
        write(event("approval.requested", { approvalId, kind: "permission", title, detail, options: offered, requestKey }, { turnId, itemId }));
      });
    },
    respond(approvalId, decision) {
      const waiting = pending.get(approvalId);
      waiting?.answer(decision);
      return waiting !== undefined;
    },
    cancelAll() {
      for (const waiting of pending.values()) waiting.answer("cancelled");
    },
    waiting: () => pending.size > 0,
  };
}
