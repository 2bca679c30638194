-- breaking: 1
-- Rounds that the answer to a chain's question added to those it was launched with.
alter table chain add column rounds_added integer not null default 0;
