-- breaking: 1
-- A session's limits with all that was added to them; a limit that was never set stays so.
create function session_limits(p_session text, p_limits jsonb) returns jsonb language sql stable as $$
  select coalesce(jsonb_object_agg(l.key, l.value::bigint + case l.key
    when 'wallSeconds' then r.wall_seconds when 'idleSeconds' then r.idle_seconds when 'turns' then r.turns when 'tokens' then r.tokens else r.cost_micros end), '{}')
  from jsonb_each_text(coalesce(p_limits, '{}')) l, (
    select coalesce(sum(wall_seconds), 0) as wall_seconds, coalesce(sum(idle_seconds), 0) as idle_seconds, coalesce(sum(turns), 0) as turns,
      coalesce(sum(tokens), 0) as tokens, coalesce(sum(cost_micros), 0) as cost_micros
    from limit_raise where session_ulid = p_session) r
$$;
