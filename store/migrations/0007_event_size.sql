-- breaking: 1
-- How long an event's data is as JSON text: a page of the log is filled by it, without reading the texts that do not fit in it.
-- What is stored cannot tell: it is compressed, and a page filled by it would hold a hundred times what an answer may.
-- Computed for every event that is there already: on a large log this migration takes its time.
alter table event add column size integer not null generated always as (octet_length(data::text)) stored;
