-- breaking: 1
-- A host hears of a launch in the launch's own transaction, and makes the workspace while Temporal still routes the first task.
alter table host_inbox drop constraint host_inbox_kind_check;
alter table host_inbox add constraint host_inbox_kind_check check (kind in ('poke', 'respond', 'close_runner', 'prepare'));
