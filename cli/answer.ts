import { parseArgs } from "node:util";
import { ulid } from "ulid";
import type { Envelope, PmClient } from "../client/pm-client.ts";
import { codeOf } from "./call.ts";
import { exitCodes, Usage } from "./exit-codes.ts";
import { printable, printableJson } from "./printable.ts";
import { type Environment, withBaton } from "./running.ts";

export const answerUsage = `baton answer <approvalId | session> <decision | text> [--add name=number …] [--reason text] [--json]
    answers what an agent waits for: allow, allow_always, deny, deny_stop, an option, or free text to a question;
    a session's ULID or name (PROJ-42/executor-1) will do when exactly one thing is open in it;
    --add, with allow: how much more of a used-up limit (wallSeconds=600, turns=5, tokens=…, costMicros=…), or of a chain's rounds (rounds=2)`;

interface Approval {
  approvalId: string;
  kind: string;
  title: string;
  options: { id: string }[];
}

/** Answers one approval: by its id, or the only open one of a session. */
export async function answer(argv: string[], env: Environment): Promise<number> {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: { json: { type: "boolean" }, reason: { type: "string" }, add: { type: "string", multiple: true } },
  });
  const [reference, decision, ...others] = positionals;
  if (!reference || !decision || others.length > 0) throw new Usage(answerUsage);
  return withBaton(env, async (pm) => {
    const found = await open(pm, reference);
    if (found.length !== 1) return tellWhich(found, reference, values.json === true);
    const approvalId = found[0]?.approvalId ?? reference;
    if (values.add !== undefined && found[0]?.kind === "permission")
      throw new Usage(`"${found[0].title}" is a permission: nothing can be added to it. Leave --add away.`);
    const more = { ...(values.reason === undefined ? {} : { reason: values.reason }), ...(values.add === undefined ? {} : { add: sums(values.add) }) };
    const result = await pm.send("pm_session", { action: "respond", approvalId, decision, ...more, clientRequestId: ulid() });
    if (values.json) console.log(printableJson(result));
    else tell(result, reference, found[0]?.title ?? "");
    return codeOf(result);
  });
}

/** `rounds=2` and the like. Error: Usage. */
function sums(given: string[]): Record<string, number> {
  return Object.fromEntries(
    given.map((one) => {
      const [, name, sum] = /^([a-zA-Z]+)=(\d+)$/.exec(one) ?? [];
      if (name === undefined) throw new Usage(`"${one}" adds nothing: say --add rounds=2.\n${answerUsage}`);
      return [name, Number(sum)];
    }),
  );
}

/** The approvals that are meant. One that is not open any more is asked about all the same: `respond` says what became of it. */
async function open(pm: PmClient, reference: string): Promise<Approval[]> {
  const { approvals } = (await pm.call("pm_session", { action: "approvals" })) as unknown as { approvals: Approval[] };
  const byId = approvals.filter((approval) => approval.approvalId === reference);
  if (byId.length > 0) return byId;
  const ofSession = await pm.send("pm_session", { action: "approvals", sessionUlid: reference });
  if (!ofSession.ok) return [{ approvalId: reference, kind: "", title: "", options: [] }];
  return ofSession.data?.["approvals"] as Approval[];
}

function tellWhich(found: Approval[], reference: string, json: boolean): number {
  const message = found.length === 0 ? `Nothing is open in ${reference}.` : `${found.length} things are open in ${reference}: name one.`;
  if (json)
    console.log(
      printableJson({ ok: false, error: { code: found.length === 0 ? "NOT_FOUND" : "AMBIGUOUS", message, allowed: found.map((one) => one.approvalId) } }),
    );
  if (found.length === 0) console.error(`${message} To send it a message: baton call pm_session '{"action":"input", …}'.`);
  else console.error(message);
  for (const { approvalId, title, options } of found)
    console.error(printable(`  ${approvalId}  ${title}  (${options.map(({ id }) => id).join(", ") || "text"})`));
  return exitCodes.refused;
}

/** `title`: of what was open, or "". A session may have come to ask another thing than its person has read. */
function tell({ data, error }: Envelope, reference: string, title: string): void {
  if (error?.code === "NOT_FOUND")
    return console.error(`NOT_FOUND: there is neither an approval nor a session "${reference}". What waits for somebody: baton status.`);
  if (error) {
    const allowed = Array.isArray(error["allowed"]) && error["allowed"].length > 0 ? ` One of: ${error["allowed"].join(", ")}.` : "";
    return console.error(printable(`${error.code}: ${error.message}${allowed}`));
  }
  const decision = (data?.["answer"] as { decision?: string } | undefined)?.decision ?? "";
  console.log(
    printable(data?.["applied"] === false ? `Answered already: ${decision}, by ${String(data["by"])}.` : `Answered: ${decision}${title && ` to "${title}"`}.`),
  );
}
