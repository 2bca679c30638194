-- breaking: 1
-- When somebody asked for this generation's close: until its end, the session is shown as closing.
alter table generation add column closing_at timestamptz;
