import pg from "pg";
import { ulid } from "ulid";
import { settleInputs } from "../../store/turn-completion.ts";
import type { Store } from "../../store/store.ts";
import { claimedTurn, freshStore } from "./rows.ts";

const sessions = 4_000;
/** Tables that are filled here, as years would fill them. */
const growing = ["session", "turn", "input", "approval", "token"];

let store: Store;
let url: string;
let end: () => Promise<void>;
let client: pg.Client;
/** Statements as they went to Postgres. */
let sent: { text: string; values?: unknown[] }[] = [];

beforeAll(async () => {
  ({ store, url, end } = await freshStore());
  client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`
    insert into session (session_ulid, name, workflow_id, principal, context_ref, task_key, role, provider, agent_handle, actor, launcher_config_key, preset_revision, preset_sha256,
        host_id, repository_path, worktree_path, base_ref, system_prompt, args, labels, launch_reason, started_at, closed_at, close_reason)
      select 'S' || n, 'T-' || n || '/executor-1', 'w' || n, 'p', 'T-' || n, 'T-' || n, 'executor', 'scripted', 'a', 'a', 'k', 1, 'x', 'h', '/r', '/w/' || n, 'main', '', '{}', '{}', 'r', now(), now(), 'closed'
      from generate_series(1, ${sessions}) n;
    insert into head (session_ulid) select session_ulid from session;
    insert into input (input_id, session_ulid, generation, prompt, delivery, source, state) select 'I' || n || session_ulid, session_ulid, 1, 'p', 'queue', 'launch', 'consumed' from session, generate_series(1, 5) n;
    insert into turn (session_ulid, turn_id, input_id, n, generation, attempt, state, result, reported_at)
      select session_ulid, input_id, input_id, row_number() over (partition by session_ulid order by input_id), 1, 1, 'done', '{"outcome": "completed", "usage": {}}', now() from input;
    insert into approval (approval_id, session_ulid, kind, title, detail, options, request_key, state) select 'A' || n || session_ulid, session_ulid, 'permission', 't', '{}', '[]', 'k' || n, 'delivered' from session, generate_series(1, 2) n;
    insert into token (token_id, principal, name, scopes, secret_sha256, session_ulid, runner_id, revoked_at) select 'K' || session_ulid, 'p', 'agent', '[]', session_ulid, session_ulid, 'R' || session_ulid, now() from session;
    insert into settle_watch (session_ulid, parent_ulid) select 'S' || n, 'S1' from generate_series(2, 400) n;
    analyze`);
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  pg.Client.prototype.query = function (this: pg.Client, ...args: unknown[]) {
    const [first] = args as [unknown];
    if (typeof first === "object" && first !== null && "text" in first) sent.push(first as { text: string; values?: unknown[] });
    return query.apply(this, args);
  } as never;
}, 60_000);
afterAll(async () => {
  await client.end();
  await end();
});

/** Rows of those tables that a call makes Postgres look at, and blocks of any. */
async function looksAt(call: () => Promise<unknown>): Promise<{ rows: number; blocks: number }> {
  sent = [];
  await call();
  const statements = sent.filter(({ text }) => /^\s*(select|update|delete|with)/i.test(text));
  expect(statements.length).toBeGreaterThan(0);
  let rows = 0;
  let blocks = 0;
  const visit = (node: Node): void => {
    const looked = node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Index Recheck"] ?? 0);
    if (growing.includes(node["Relation Name"] ?? "")) rows += looked * node["Actual Loops"];
    for (const child of node.Plans ?? []) visit(child);
  };
  await client.query("begin");
  for (const { text, values } of statements) {
    const explained = await client.query<{ "QUERY PLAN": { Plan: Node }[] }>({ text: `explain (analyze, buffers, format json) ${text}`, values: values ?? [] });
    const { Plan: plan } = explained.rows[0]!["QUERY PLAN"][0]!;
    visit(plan);
    blocks += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
  }
  await client.query("rollback");
  return { rows, blocks };
}

/** Of a plan that was carried out, what counts here. */
interface Node {
  "Relation Name"?: string;
  "Actual Rows": number;
  "Actual Loops": number;
  "Shared Hit Blocks": number;
  "Shared Read Blocks": number;
  "Rows Removed by Filter"?: number;
  "Rows Removed by Index Recheck"?: number;
  Plans?: Node[];
}

const tx = (work: (client: Parameters<Parameters<Store["transaction"]>[0]>[0]) => Promise<unknown>) => () => store.transaction(work);

test.each<[string, () => Promise<unknown>]>([
  ["what settled, each second", () => store.settles.changed(100)],
  ["what needs somebody", () => store.facts.list({ attention: true, oldestFirst: true, limit: 200 })],
  ["what is open", () => store.facts.list({ open: true, limit: 200 })],
  ["whose workflow may not have heard, each 30 s", () => store.sessions.superseded(60_000)],
  ["who is at work, each 30 s", () => store.sessions.startedAndOpen({ after: "", limit: 200 })],
  ["a session's first input", () => store.launches.firstInput("S77")],
  ["a session's inputs", () => store.inputs.after("S77", "", 50)],
  ["a runner's end", () => store.runners.ended("RS77")],
  ["what a purge deletes", () => store.purge.counts("S77")],
  ["a purge", () => store.purge.eraseSome("S78")],
  ["a name for the next session", tx((client) => store.sessions.nextOrdinal(client, "T-77", "executor"))],
  ["a turn's end", tx((client) => settleInputs(client, "S77", ulid(), ulid()))],
])("%s costs the same however many sessions there were", async (_, call) => {
  const { rows, blocks } = await looksAt(call);
  expect(rows).toBeLessThan(500);
  expect(blocks).toBeLessThan(3_000);
});

test("a session at work is found among all that are closed", async () => {
  const { sessionUlid } = await claimedTurn(store);
  // Its host has no lease.
  expect((await store.facts.list({ attention: true, oldestFirst: true, limit: 10 })).map((row) => row.sessionUlid)).toEqual([sessionUlid]);
  expect((await store.facts.list({ open: true, limit: 10 })).map((row) => row.sessionUlid)).toEqual([sessionUlid]);
});
