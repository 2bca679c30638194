-- breaking: 1
-- What restart, purge, one turn's configuration and bounded reads need.
alter table session add column purge jsonb, add column purged_at timestamptz;
alter table generation add column run_id text;
alter table chain add column run_id text;
alter table input add column configuration jsonb;
create index session_thread on session (provider_session_id) where provider_session_id is not null;
-- What a status, a wait and a restart look for in a log that may have a million events.
create index event_landmark on event (session_ulid, type, seq) where type in ('session.agent_ready', 'input.delivered', 'turn.completed', 'approval.requested');
-- The kinds are a type of the program; a host leaves alone what it does not know.
alter table host_inbox drop constraint if exists host_inbox_kind_check;

-- What a purge would take away, told by the host that has the files. Read once, then deleted.
create table inspection (
  inspection_id text primary key,
  session_ulid text not null references session on delete cascade,
  answer jsonb,
  created_at timestamptz not null default clock_timestamp()
);

-- An event's data with every text at its top cut to so many characters; what is nested and longer becomes such a text.
create function cut_event(p_data jsonb, p_most integer) returns jsonb language sql immutable as $$
  select coalesce(jsonb_object_agg(key, case
    when length(value::text) <= p_most then value
    when jsonb_typeof(value) = 'string' then to_jsonb(left(value #>> '{}', p_most) || '…')
    else to_jsonb(left(value::text, p_most) || '…') end), '{}')
  from jsonb_each(case when jsonb_typeof(p_data) = 'object' then p_data else jsonb_build_object('value', p_data) end)
$$;
