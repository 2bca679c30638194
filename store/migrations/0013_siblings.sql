-- breaking: 1
-- Anybody may launch onto the operator's tasks: of the other sessions of its task an agent sees those of its own tree's owner.
create or replace function seen_by_session(p_session text) returns table (session_ulid text) language sql stable as $$
  select t.session_ulid from subtree_of(p_session) t
  union
  select o.session_ulid from session o join session s on s.task_key = o.task_key and s.owner = o.owner where s.session_ulid = p_session
$$;
