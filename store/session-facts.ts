import type { FactsRow, InputRow, TurnRow } from "./rows.ts";
import { type Database, fromJson } from "./database.ts";
import { seenBy } from "./reach.ts";
import type { FactsFilter } from "./store.ts";

/** Sessions with the facts that every view of them needs. */
export interface FactsStore {
  get(sessionUlid: string): Promise<FactsRow | null>;
  byName(name: string): Promise<FactsRow | null>;
  /** the newest session that has this conversation of its agent's */
  byThread(providerSessionId: string): Promise<FactsRow | null>;
  many(sessionUlids: string[]): Promise<FactsRow[]>;
  /** newest first, or `oldestFirst`. `contextRef`: exact, or with `TASK-` before it; `attention`: only where somebody may be needed */
  list(filter: FactsFilter): Promise<FactsRow[]>;
}

/** Neither prompts nor arguments: a status is asked for often, and those may have 256 KB. */
const plain =
  "session_ulid, name, workflow_id, generation, principal, client_request_id, context_ref, task_key, project_key, role, provider, agent_handle, actor, launcher_config_key, host_id, repository_path, worktree_path, branch_name, base_ref, head_at_start, workspace, labels, launch_reason, parent_ulid, chain_id, provider_session_id, created_at, started_at, closed_at, close_reason, failed, candidate, purge, purged_at";
const turn = "turn_id, input_id, n, generation, attempt, state, started_at, ended_at, result";
const approval =
  "approval_id, session_ulid, chain_id, turn_id, kind, title, detail, options, request_key, state, decision, answered_by, actor, reason, asked_at, answered_at";
const askedSeq =
  "(select e.seq from event e where e.session_ulid = approval.session_ulid and e.type = 'approval.requested' and e.data->>'approvalId' = approval.approval_id limit 1) as seq";
const newest = (type: string) => `from event e where e.session_ulid = s.session_ulid and e.type = '${type}' order by seq desc limit 1`;
const pending = "input_id, delivery, state, source, created_at, configuration";
const sum = (name: string) => `coalesce(sum((result->'usage'->>'${name}')::bigint), 0)::bigint`;

/** Everything that a status and its views are computed from, in one statement: a session a row. */
const factsSelect = `select ${plain.replaceAll(/\w+/g, "s.$&")}, s.args->'effective'->>'model' as model, session_limits(s.session_ulid, s.args->'effective'->'limits') as limits,
  h.last_seq, h.last_delta, h.updated_at as last_activity_at, g.run_id, case when s.generation > 1 then g.created_at end as restarted_at, g.closing_at,
  s.root_ulid,
  (select lease_until > clock_timestamp() from host where host.host_id = s.host_id) as host_alive,
  (select e.seq ${newest("turn.completed")}) as ended_seq, (select e.data->'resumable' ${newest("session.agent_ready")}) as resumes,
  t.total, t.completed, t.begun, t.agent_ms, t.input_tokens, t.output_tokens, t.cached_tokens, t.cost_micros,
  (select to_jsonb(x) from (select ${turn} from turn where turn.session_ulid = s.session_ulid order by n desc limit 1) x) as newest,
  (select to_jsonb(x) from (select ${turn}, left(final_message, 4000) as final_message, octet_length(final_message) as final_message_bytes from turn where turn.session_ulid = s.session_ulid and state = 'done' order by n desc limit 1) x) as last_done,
  (select jsonb_agg(to_jsonb(x) order by x.input_id) from (select ${pending} from input where input.session_ulid = s.session_ulid and state in ('recorded', 'accepted', 'delivering') order by input_id limit 100) x) as pending,
  (select jsonb_agg(to_jsonb(x) order by x.asked_at desc, x.approval_id) from (select ${approval}, ${askedSeq} from approval where approval.session_ulid = s.session_ulid and state = 'open' order by asked_at desc limit 50) x) as approvals
from session s join head h using (session_ulid) left join generation g on g.session_ulid = s.session_ulid and g.generation = s.generation
left join lateral (
  select count(*) as total, count(*) filter (where state = 'done') as completed, count(*) filter (where prompt_sent_at is not null) as begun,
    coalesce(sum(agent_ms), 0)::bigint as agent_ms,
    ${sum("inputTokens")} as input_tokens, ${sum("outputTokens")} as output_tokens, ${sum("cachedTokens")} as cached_tokens, ${sum("costMicros")} as cost_micros
  from turn where turn.session_ulid = s.session_ulid) t on true`;

const subtree = (root: string) => `s.session_ulid in (with recursive down(ulid) as (
  select ${root}::text union select c.session_ulid from down join session c on c.parent_ulid = down.ulid) select ulid from down)`;

/** Sessions with the facts that every view of them needs. */
export function factsStore(db: Database): FactsStore {
  const read = async (where: string, values: unknown[]) => (await db.wideRows<Raw>(`${factsSelect} where ${where}`, values)).map(toFacts);
  return {
    get: async (sessionUlid) => (await read("s.session_ulid = $1", [sessionUlid]))[0] ?? null,
    byName: async (name) => (await read("s.name = $1", [name]))[0] ?? null,
    byThread: async (providerSessionId) =>
      (await read("s.provider_session_id = $1 and s.purge is null order by s.session_ulid desc limit 1", [providerSessionId]))[0] ?? null,
    many: (sessionUlids) => read("s.session_ulid = any($1) and s.purge is null order by s.session_ulid", [sessionUlids]),
    list: (filter) => {
      const values: unknown[] = [filter.limit];
      const where = ["s.purge is null"];
      const given = <T>(value: T | undefined, test: (n: string) => string): void => {
        if (value !== undefined) where.push(test(`$${values.push(value)}`));
      };
      given(filter.contextRef, (n) => `s.context_ref in (${n}, 'TASK-' || ${n})`);
      given(filter.role, (n) => `s.role = ${n}`);
      given(filter.agentHandle, (n) => `s.agent_handle = ${n}`);
      given(filter.projectKey, (n) => `s.project_key = ${n}`);
      given(filter.parentUlid, (n) => `s.parent_ulid = ${n}`);
      given(filter.chainId, (n) => `s.chain_id = ${n}`);
      given(filter.rootUlid, subtree);
      given(filter.labels && JSON.stringify(filter.labels), (n) => `s.labels @> ${n}::jsonb`);
      given(filter.label, (n) => `s.labels ? ${n}`);
      given(filter.cursor, (n) => `s.session_ulid ${filter.oldestFirst ? ">" : "<"} ${n}`);
      if (filter.reach) {
        const seen = seenBy(filter.reach, values.length + 1);
        values.push(seen.value);
        where.push(seen.sql);
      }
      if (filter.open !== undefined) where.push(`s.closed_at is ${filter.open ? "" : "not "}null`);
      if (filter.attention) where.push(needsSomebody);
      return read(`${where.join(" and ")} order by s.session_ulid ${filter.oldestFirst ? "asc" : "desc"} limit $1`, values);
    },
  };
}

/** Where attention may be due; the pure functions decide. The sessions first, by their own indexes: of most there ever were, nothing is to be looked at. */
const needsSomebody = `s.session_ulid in (select session_ulid from session where closed_at is null union all select session_ulid from session where failed or workspace = 'failed')
  and (s.failed or s.workspace = 'failed' or exists (select 1 from approval a where a.session_ulid = s.session_ulid and a.state = 'open')
    or exists (select 1 from (select result, state from turn where turn.session_ulid = s.session_ulid order by n desc limit 1) q
      where q.result->>'outcome' in ('failed', 'unknown') or (q.state <> 'done' and not exists (select 1 from host l where l.host_id = s.host_id and l.lease_until > clock_timestamp()))))`;

type Json = Record<string, unknown>;
type Raw = Omit<FactsRow, "newest" | "lastDone" | "pending" | "approvals" | "turns"> & {
  newest: Json | null;
  lastDone: Json | null;
  pending: Json[] | null;
  approvals: Json[] | null;
  total: number;
  completed: number;
  begun: number;
  agentMs: number;
  inputTokens: number;
  outputTokens: number;
  cachedTokens: number;
  costMicros: number;
};

function toFacts(raw: Raw): FactsRow {
  const { total, completed, begun, agentMs, inputTokens, outputTokens, cachedTokens, costMicros, newest, lastDone, pending: waiting, approvals, ...row } = raw;
  return {
    ...row,
    turns: { total, completed, begun, agentMs, usage: { inputTokens, outputTokens, cachedTokens, costMicros } },
    newest: newest && fromJson<TurnRow>(newest),
    lastDone: lastDone && fromJson<TurnRow>(lastDone),
    pending: (waiting ?? []).map((one) => fromJson<InputRow>(one)),
    approvals: (approvals ?? []).map((one) => fromJson<FactsRow["approvals"][number]>(one)),
  };
}
