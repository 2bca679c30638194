-- breaking: 1
-- A wait that its caller looks after instead of holding the call open: a task of MCP.
create table mcp_task (
  task_id text primary key,
  principal text not null,
  -- all there is to know about the caller: a credential that allows less is another one
  owner text not null,
  -- as they were sent; json, which keeps what jsonb refuses
  arguments json not null,
  -- what was so as the wait began, and is no news
  marks text[] not null,
  state text not null default 'working' check (state in ('working', 'completed', 'cancelled')),
  -- what the wait came to, and whose sessions it shows; null again once one of them is purged
  answer json,
  shown text[] not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  expires_at timestamptz not null
);
create index mcp_task_principal on mcp_task (principal);
create index mcp_task_expires on mcp_task (expires_at);
