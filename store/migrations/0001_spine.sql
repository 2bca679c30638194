-- breaking: 1
-- Ids are ULIDs made by the callers; times are Postgres's, but an event's `at` is its maker's.

create table project (
  project_key text primary key,
  repository_path text not null,
  created_at timestamptz not null default clock_timestamp()
);

create table task (
  task_key text primary key,
  project_key text not null,
  title text not null,
  description text not null,
  acceptance_criteria jsonb not null default '[]',
  requirements jsonb not null default '[]',
  base_ref text,
  status text not null default 'backlog',
  assignee_handle text,
  reviewer_handles jsonb not null default '[]',
  metadata jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp()
);

create table session (
  session_ulid text primary key,
  name text not null unique,
  workflow_id text not null,
  generation integer not null default 1,
  principal text not null,
  client_request_id text,
  context_ref text not null,
  task_key text,
  project_key text,
  role text not null,
  provider text not null,
  agent_handle text not null,
  actor text not null,
  launcher_config_key text not null,
  preset_revision integer not null,
  preset_sha256 text not null,
  host_id text not null,
  repository_path text not null,
  worktree_path text not null,
  branch_name text,
  base_ref text not null,
  head_at_start text,
  workspace text not null default 'pending' check (workspace in ('pending', 'ready', 'failed')),
  system_prompt text not null,
  args jsonb not null,
  labels jsonb not null default '{}',
  launch_reason text not null,
  parent_ulid text,
  chain_id text,
  provider_session_id text,
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  closed_at timestamptz,
  close_reason text,
  failed boolean not null default false,
  candidate jsonb
);
-- Reserved for good: a closed session's branch still exists.
create unique index session_branch on session (repository_path, branch_name) where branch_name is not null;
-- One open session per (context, role, agent); a chain's reviewers may share a handle.
create unique index session_open on session (context_ref, role, agent_handle) where closed_at is null and (chain_id is null or role = 'executor');
create index session_chain on session (chain_id) where chain_id is not null;
create index session_unstarted on session (session_ulid) where started_at is null and closed_at is null;

create table generation (
  session_ulid text not null references session on delete cascade,
  generation integer not null,
  workflow_id text not null unique,
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  closed_at timestamptz,
  close_reason text,
  failed boolean not null default false,
  primary key (session_ulid, generation)
);

create table head (
  session_ulid text primary key references session on delete cascade,
  last_seq bigint not null default 0,
  epoch bigint not null default 0,
  owner text,
  spool_id text,
  spool_offset bigint not null default 0,
  last_delta bigint not null default 0,
  updated_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

create table event (
  session_ulid text not null references session on delete cascade,
  seq bigint not null,
  at timestamptz not null,
  type text not null,
  data jsonb not null,
  turn_id text,
  attempt integer,
  item_id text,
  parent_item_id text,
  synthetic boolean not null default false,
  raw_ref jsonb,
  event_key text,
  primary key (session_ulid, seq)
);
create unique index event_key on event (session_ulid, event_key) where event_key is not null;
create index event_turn_item on event (session_ulid, turn_id, item_id) where item_id is not null and type in ('tool.started', 'tool.completed', 'command.started', 'command.completed');

create table delta (
  session_ulid text not null references session on delete cascade,
  seq bigint not null,
  turn_id text not null,
  item_id text not null,
  kind text not null,
  text text not null,
  primary key (session_ulid, seq)
);

create table turn (
  session_ulid text not null references session on delete cascade,
  turn_id text not null,
  input_id text not null,
  n integer not null,
  generation integer not null,
  attempt integer not null,
  state text not null default 'queued' check (state in ('queued', 'running', 'done')),
  prompt_sent_at timestamptz,
  started_at timestamptz,
  ended_at timestamptz,
  task_token text,
  reported_at timestamptz,
  result jsonb,
  final_message text,
  created_at timestamptz not null default clock_timestamp(),
  primary key (session_ulid, turn_id),
  unique (session_ulid, n)
);
create index turn_unreported on turn (session_ulid) where reported_at is null;

create table input (
  input_id text primary key,
  session_ulid text not null references session on delete cascade,
  generation integer not null,
  prompt text not null,
  delivery text not null check (delivery in ('queue', 'steer', 'interrupt')),
  source text not null,
  request_id text,
  state text not null default 'recorded' check (state in ('recorded', 'accepted', 'delivering', 'delivered', 'consumed', 'failed', 'ambiguous')),
  reason text,
  turn_id text,
  checkout jsonb,
  created_at timestamptz not null default clock_timestamp()
);
create unique index input_request on input (session_ulid, request_id) where request_id is not null;
create index input_pending on input (session_ulid, input_id) where state in ('recorded', 'accepted', 'delivering');

create table approval (
  approval_id text primary key,
  session_ulid text references session on delete cascade,
  chain_id text,
  turn_id text,
  kind text not null,
  title text not null,
  detail jsonb,
  options jsonb not null default '[]',
  request_key text not null,
  state text not null default 'open' check (state in ('open', 'answered', 'delivered', 'expired')),
  decision text,
  answered_by text,
  actor text,
  reason text,
  asked_at timestamptz not null default clock_timestamp(),
  answered_at timestamptz
);
create index approval_session on approval (session_ulid, state);
create index approval_chain on approval (chain_id) where chain_id is not null;

create table chain (
  chain_id text primary key,
  workflow_id text not null unique,
  task_key text not null,
  principal text not null,
  config jsonb not null,
  round integer not null default 0,
  state text not null default 'open' check (state in ('open', 'ended')),
  reason text,
  why text,
  executor_ulid text not null,
  candidate jsonb,
  gates jsonb not null default '[]',
  created_at timestamptz not null default clock_timestamp(),
  started_at timestamptz,
  ended_at timestamptz
);
create index chain_task on chain (task_key);

create table verdict (
  verdict_id text primary key,
  chain_id text not null,
  session_ulid text not null,
  turn_id text not null,
  role text not null check (role in ('reviewer', 'auditor')),
  round integer not null,
  decision text not null check (decision in ('approved', 'changes_requested', 'rejected')),
  score double precision not null,
  summary text not null,
  findings jsonb not null,
  tree text not null,
  created_at timestamptz not null default clock_timestamp(),
  unique (session_ulid, turn_id)
);
create index verdict_chain on verdict (chain_id);

create table client_request (
  principal text not null,
  scope text not null,
  key text not null,
  fingerprint text not null,
  ids jsonb,
  created_at timestamptz not null default clock_timestamp(),
  primary key (principal, scope, key)
);

create table host (
  host_id text primary key,
  owner text not null,
  pid integer not null,
  boot_id text not null,
  start_ticks text not null,
  lease_until timestamptz not null
);

create table runner (
  runner_id text primary key,
  session_ulid text not null,
  host_id text not null,
  pid integer not null,
  boot_id text not null,
  start_ticks text not null,
  spec_hash text not null,
  socket_path text not null,
  spool_path text not null,
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz
);
create index runner_live on runner (host_id) where ended_at is null;
create index runner_session on runner (session_ulid, created_at);

create table host_inbox (
  id bigint generated always as identity primary key,
  host_id text not null,
  kind text not null check (kind in ('poke', 'respond', 'close_runner')),
  session_ulid text not null,
  body jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp()
);
create index host_inbox_host on host_inbox (host_id, id);

create table audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  principal text not null,
  actor text not null,
  action text not null,
  target text,
  detail jsonb
);

-- Appends to a session's log under its head's row lock: seqs are allocated here and nowhere else. An element with a `key`
-- that the session has is skipped. Returns last_seq; null when the session is gone.
create function append_events(p_session text, p_events jsonb) returns bigint language plpgsql as $$
declare
  base bigint;
  added bigint;
begin
  select last_seq into base from head where session_ulid = p_session for update;
  if not found then return null; end if;
  insert into event (session_ulid, seq, at, type, data, turn_id, attempt, item_id, parent_item_id, synthetic, raw_ref, event_key)
  select p_session, base + row_number() over (order by ord), coalesce((e->>'at')::timestamptz, clock_timestamp()), e->>'type', e->'data',
    e->>'turnId', (e->>'attempt')::integer, e->>'itemId', e->>'parentItemId', coalesce((e->>'synthetic')::boolean, false), e->'rawRef', e->>'key'
  from (
    select distinct on (coalesce(e->>'key', ord::text)) e, ord
    from jsonb_array_elements(p_events) with ordinality as t(e, ord)
    where e->>'key' is null or not exists (select 1 from event x where x.session_ulid = p_session and x.event_key = e->>'key' offset 0) -- offset 0: an index probe a key, never a hash of the whole log
    order by coalesce(e->>'key', ord::text), ord
  ) fresh;
  get diagnostics added = row_count;
  if added > 0 then update head set last_seq = base + added, updated_at = clock_timestamp() where session_ulid = p_session; end if;
  perform project_events(p_session, p_events);
  return base + added;
end $$;

-- The rows that follow from events. Every one is safe to repeat.
create function project_events(p_session text, p_events jsonb) returns void language plpgsql as $$
begin
  if p_events @> '[{"type": "approval.requested"}]' then
    insert into approval (approval_id, session_ulid, turn_id, kind, title, detail, options, request_key)
    select e->'data'->>'approvalId', p_session, e->>'turnId', e->'data'->>'kind', e->'data'->>'title', e->'data'->'detail', coalesce(e->'data'->'options', '[]'), e->'data'->>'requestKey'
    from jsonb_array_elements(p_events) e where e->>'type' = 'approval.requested'
    on conflict (approval_id) do nothing;
  end if;
  if p_events @> '[{"type": "input.delivered"}]' then
    update input i set state = 'delivered', turn_id = coalesce(i.turn_id, e->>'turnId')
    from jsonb_array_elements(p_events) e
    where e->>'type' = 'input.delivered' and i.session_ulid = p_session and i.input_id = e->'data'->>'inputId' and i.state in ('recorded', 'accepted', 'delivering');
  end if;
  if p_events @> '[{"type": "session.agent_ready"}]' then
    update session s set provider_session_id = latest.id
    from (select e->'data'->>'providerSessionId' as id from jsonb_array_elements(p_events) with ordinality as t(e, ord) where e->>'type' = 'session.agent_ready' order by ord desc limit 1) latest
    where s.session_ulid = p_session;
  end if;
end $$;

-- One flush of the append lane. Each batch {s, epoch, owner, spool, start, end, events, deltas} is taken only if the head
-- is still (epoch, owner, spool, start). Returns the taken ones by index with the session's last_seq.
create function lane_append(p_channel text, p_batches jsonb) returns table (index integer, last_seq bigint) language plpgsql as $$
#variable_conflict use_column
declare
  b record;
  h head%rowtype;
  taken text[] := '{}';
  payload text;
begin
  -- always in session order, so that two lanes cannot wait for each other
  perform 1 from head where session_ulid in (select x->>'s' from jsonb_array_elements(p_batches) x) order by session_ulid for update;
  for b in select (ord - 1)::integer as at, x from jsonb_array_elements(p_batches) with ordinality as t(x, ord) order by ord loop
    select * into h from head where session_ulid = b.x->>'s';
    continue when not found or h.epoch <> (b.x->>'epoch')::bigint or h.owner is distinct from b.x->>'owner'
      or h.spool_id is distinct from b.x->>'spool' or h.spool_offset <> (b.x->>'start')::bigint;
    insert into delta (session_ulid, seq, turn_id, item_id, kind, text)
    select h.session_ulid, h.last_delta + ord, d->>'turnId', d->>'itemId', d->>'kind', d->>'text'
    from jsonb_array_elements(b.x->'deltas') with ordinality as t(d, ord);
    index := b.at;
    last_seq := h.last_seq;
    if jsonb_array_length(b.x->'events') > 0 then last_seq := append_events(h.session_ulid, b.x->'events'); end if;
    update head set spool_offset = (b.x->>'end')::bigint, last_delta = h.last_delta + jsonb_array_length(b.x->'deltas'), updated_at = clock_timestamp() where session_ulid = h.session_ulid;
    taken := taken || h.session_ulid;
    return next;
  end loop;
  if cardinality(taken) > 0 then
    -- a notification holds 8000 bytes; `*` wakes everyone
    payload := 's:' || array_to_string(taken, ',');
    perform pg_notify(p_channel, case when length(payload) < 7500 then payload else 's:*' end);
  end if;
end $$;
