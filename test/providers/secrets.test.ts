import type { LaunchSpec } from "../../contracts/provider.ts";
import type { SpoolRecord } from "../../contracts/runner-protocol.ts";
import { acpDriver } from "../../providers/acp.ts";
import { textMask } from "../../contracts/text-mask.ts";
import { grown, noText, whole } from "../../providers/bounded.ts";
import { newUlid } from "../../providers/ulid.ts";
import { until } from "../support/until.ts";
import { driven } from "./driven.ts";

const secret = "canary-of-many-letters";
/** Either half of it. The runner masks what is whole. */
const half = /canary-(?!of-many-letters)|(?<!canary-of-many-)letters/;
/** A text with the secret across what comes after `most` characters. */
const across = (most: number): string => `${"x".repeat(most - 10)}${secret}${"y".repeat(50)}`;
const secrets = { secrets: [secret] };

test("no text that is cut leaves half of a secret", async () => {
  const update = (kind: string, room: number): object => ({ sessionUpdate: kind, text: across(room - `{"sessionUpdate":"${kind}","text":"`.length) });
  const request = {
    method: "session/request_permission",
    params: {
      toolCall: {
        toolCallId: "1",
        kind: "execute",
        name: across(2_000),
        title: across(2_000),
        rawInput: { command: across(8_000), more: across(32_768 - '{"command":"'.length - across(8_000).length - '","more":"'.length) },
        locations: [{ path: across(500) }],
        content: [{ type: "content", content: { type: "text", text: across(32_768 - '[{"type":"content","content":{"type":"text","text":"'.length) } }],
      },
      options: [{ optionId: "yes", name: across(200), kind: "allow_once" }],
    },
  };
  const says = [update("unheard_of", 4_000), update("unheard_of", 4_096), update("tool_call", 2_000), update("tool_call", 4_096), request];
  const agent = await driven([{ says: says as Record<string, unknown>[] }], secrets);
  void agent.prompt("T1");
  await until("the question", () => agent.events("approval.requested")[0]);
  expect(agent.events("line.unparsed").length).toBe(4);
  expect(agent.records.flatMap((one) => half.exec(JSON.stringify(one))?.[0] ?? [])).toEqual([]);
});

test("nor does the end of what is kept of a text without an end", () => {
  expect(whole(grown(noText, across(1 << 20)), textMask([secret]))).not.toMatch(half);
});

test.each([4_096, 1_000])("nor do the last %s characters of what an agent said before it died", async (most) => {
  const records: SpoolRecord[] = [];
  const spec: LaunchSpec = {
    sessionUlid: newUlid(),
    runnerId: newUlid(),
    provider: "acp",
    command: ["sh", "-c", `printf %s "${secret}${"y".repeat(most - 10)}" >&2; sleep 0.3; exit 1`],
    cwd: process.cwd(),
    env: process.env as Record<string, string>,
    permissionMode: "ask",
    stallMs: 60_000,
    ...secrets,
  };
  const failure = await acpDriver
    .open(spec, { write: (record) => void records.push(record), raw: () => ({ file: "", offset: 0, bytes: 0 }) })
    .then(() => "", String);
  expect(failure).toContain("yyy");
  expect(half.exec(failure + JSON.stringify(records))).toBe(null);
});
