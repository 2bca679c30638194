-- breaking: 1
-- When this generation's workflow was told to close: until its end, the session is shown as closing.
alter table generation add column closing_at timestamptz;
