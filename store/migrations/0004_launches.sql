-- breaking: 1
-- What a session's launch came to, as it was then: prompts, differences from the preset.
create table launch (
  session_ulid text primary key references session on delete cascade,
  first_prompt text not null,
  prompt_mode text not null,
  sections jsonb not null default '[]',
  overrides jsonb not null default '[]',
  bootstrap jsonb not null default '[]',
  created_at timestamptz not null default clock_timestamp()
);

-- One session at a time works in a repository itself.
create unique index session_in_repository on session (repository_path) where closed_at is null and worktree_path = repository_path;

-- The agent's own time in a turn, without what it waited for people; kept while it runs, so that a takeover goes on counting.
alter table turn add column agent_ms bigint not null default 0;

-- What the answer to a budget approval added to a session's limits.
create table limit_raise (
  approval_id text primary key references approval on delete cascade,
  session_ulid text not null references session on delete cascade,
  wall_seconds bigint not null default 0,
  idle_seconds bigint not null default 0,
  turns bigint not null default 0,
  tokens bigint not null default 0,
  cost_micros bigint not null default 0,
  created_at timestamptz not null default clock_timestamp()
);
create index limit_raise_session on limit_raise (session_ulid);

-- Who is told, by an input, each time a session has settled. `seen_seq`: the session's log was looked at up to there.
create table settle_watch (
  session_ulid text primary key references session on delete cascade,
  parent_ulid text not null,
  chain_id text,
  seen_seq bigint not null default 0,
  last_key text,
  created_at timestamptz not null default clock_timestamp()
);
