-- breaking: 1
-- What is read at each turn's end, each second or each launch, by an index of its own: without one such a read cost more with every session there ever was.
create index input_session on input (session_ulid, input_id);
create index approval_open on approval (session_ulid) where state = 'open';
create index token_runner on token (runner_id) where runner_id is not null;
create index token_of_session on token (session_ulid) where session_ulid is not null;
create index session_role on session (context_ref, role);
create index session_task on session (task_key) where task_key is not null;
create index session_at_work on session (session_ulid) where closed_at is null;
create index session_trouble on session (session_ulid) where failed or workspace = 'failed';
create index session_over on session (closed_at) where close_reason in ('superseded', 'purged');
