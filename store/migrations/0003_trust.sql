-- breaking: 1
-- Credentials beside the operator's token file. Of a secret only its hash is kept. With `session_ulid` it is that session's agent's, minted for one runner.
create table token (
  token_id text primary key,
  principal text not null,
  name text not null,
  scopes jsonb not null,
  secret_sha256 text not null,
  session_ulid text references session on delete cascade,
  runner_id text,
  created_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz,
  revoked_at timestamptz
);
create index token_session on token (session_ulid) where session_ulid is not null and revoked_at is null;

-- Lineage: the session at the top, how far below it, and whose the whole tree is (the principal that launched the top).
alter table session add column root_ulid text;
alter table session add column depth integer not null default 0;
alter table session add column owner text;
update session s set root_ulid = coalesce(p.root_ulid, p.session_ulid), owner = p.principal from session p where p.session_ulid = s.parent_ulid;
update session set root_ulid = session_ulid, owner = principal where root_ulid is null;
alter table session alter column root_ulid set not null;
alter table session alter column owner set not null;
-- In the database and not in the inserting program: an older Baton's rows have their place too. What a chain opens is no deeper than its executor.
create function place_in_tree() returns trigger language plpgsql as $$
begin
  select p.root_ulid, p.owner, p.depth + case when p.chain_id = new.chain_id then 0 else 1 end into new.root_ulid, new.owner, new.depth from session p where p.session_ulid = new.parent_ulid;
  new.root_ulid := coalesce(new.root_ulid, new.session_ulid);
  new.owner := coalesce(new.owner, new.principal);
  new.depth := coalesce(new.depth, 0);
  return new;
end $$;
create trigger session_place before insert on session for each row execute function place_in_tree();
create index session_root on session (root_ulid);
create index session_parent on session (parent_ulid) where parent_ulid is not null;
create index session_owner on session (owner) where owner <> 'local';

-- Whose a task is; the local operator's are everybody's to work on.
alter table task add column principal text not null default 'local';

alter table audit add column outcome text not null default 'done';

-- An agent waits for sessions that it launched: its turn's slot is free for them until the wait is over and the slot taken again.
create table turn_wait (
  wait_id text primary key,
  session_ulid text not null references session on delete cascade,
  turn_id text not null,
  host_id text not null,
  state text not null default 'waiting' check (state in ('waiting', 'resuming', 'resumed')),
  beat_at timestamptz not null default clock_timestamp()
);
create index turn_wait_host on turn_wait (host_id);

-- A session and all that it launched, directly or not. Reviewers and auditors of its own chain were opened by the chain, not by it.
create function subtree_of(p_session text) returns table (session_ulid text) language sql stable as $$
  with recursive below as (
    select s.session_ulid, s.chain_id from session s where s.session_ulid = p_session
    union
    select c.session_ulid, s.chain_id from session c join below b on c.parent_ulid = b.session_ulid join session s on s.session_ulid = p_session
    where s.chain_id is null or c.chain_id is distinct from s.chain_id
  )
  select below.session_ulid from below
$$;

-- What lists show to a session's agent: its subtree, and the other sessions of its task.
create function seen_by_session(p_session text) returns table (session_ulid text) language sql stable as $$
  select t.session_ulid from subtree_of(p_session) t
  union
  select o.session_ulid from session o join session s on s.task_key = o.task_key where s.session_ulid = p_session
$$;
