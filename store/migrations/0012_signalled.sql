-- breaking: 1
-- The generation whose workflow was told of an input: Temporal keeps what it took, and a run takes no more than 10,000 Signals. The next generation is told again.
alter table input add column signalled_to integer;
