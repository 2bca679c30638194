/** A thing that goes wrong, and what Baton promises then. Tests name their rows at the end of their titles: `(row 9)`. */
export interface FaultRow {
  row: number;
  fault: string;
  promise: string;
}

/** The faults that Baton is held against. A number that is missing needs a part that is not built yet (26: purge). */
export const faultRows: FaultRow[] = [
  {
    row: 1,
    fault: "the host worker is killed in the middle of turns",
    promise: "agents go on unaware; the next worker adopts them; every event once, in order",
  },
  { row: 2, fault: "the host worker freezes past its lease and wakes up", promise: "it appends, beats and spawns nothing more, and leaves" },
  {
    row: 3,
    fault: "worker, runner and agent are killed together",
    promise: "the turn resumes the agent's own conversation, or ends with a reason; what was said before stays, marked by attempt",
  },
  { row: 4, fault: "a gateway is killed in the middle of a long poll", promise: "the reader goes on at another by cursor: no gap, no repeat" },
  { row: 5, fault: "the notification connection goes silent", promise: "readers are late by about a second, never stuck" },
  { row: 6, fault: "the agent's process is killed", promise: "the turn says so, its last words are kept, the session stays usable" },
  {
    row: 7,
    fault: "the agent ignores signals, hides children, closes its stdout early",
    promise: "after the grace nothing of it is alive; the end waits for the spool, not for end-of-file",
  },
  { row: 8, fault: "many short-lived agents; a reused pid", promise: "no zombie, no orphan; nothing is killed by its pid alone" },
  { row: 9, fault: "Postgres is killed, again and again", promise: "no acknowledged request or event is lost, nothing happens twice" },
  { row: 10, fault: "a commit succeeds and its answer is lost", promise: "the write is found applied and not made again" },
  {
    row: 11,
    fault: "Postgres is down for a while",
    promise: "agents go on into their spools; doors answer UNAVAILABLE with a hint when to retry; afterwards everything is there once",
  },
  { row: 12, fault: "Postgres is slow", promise: "batches grow, nothing is lost, memory stays bounded" },
  { row: 13, fault: "Temporal is down for a while", promise: "turns go on; recorded requests are carried out once when it is back" },
  { row: 14, fault: "a workflow vanishes from Temporal", promise: "its session ends as failed with that reason, and is never launched again" },
  { row: 15, fault: "a disk is full: spool, worktree, Postgres", promise: "nothing half written; when there is room again everything goes on" },
  { row: 16, fault: "worktrees in each other's way", promise: "one at a time per repository; a typed error or the next free name; nothing half made" },
  { row: 17, fault: "the same request many times at once", promise: "one session; the same body gets the same answer, another body is refused" },
  { row: 18, fault: "a storm of inputs", promise: "a bounded queue that refuses; order is kept" },
  { row: 19, fault: "an abort at any moment", promise: "one terminal state, no process left, no input lost" },
  { row: 20, fault: "the agent says what is no protocol", promise: "it is kept as line.unparsed, the turn goes on" },
  { row: 21, fault: "a line without end", promise: "bounded memory; the rest of the session is unharmed" },
  { row: 22, fault: "text and numbers that Postgres refuses", promise: "made storable and marked; no batch fails because of one row" },
  { row: 23, fault: "the agent floods", promise: "held back by quota; other sessions do not notice" },
  { row: 24, fault: "the clock steps", promise: "order is by seq; time-outs are by the monotonic clock" },
  { row: 25, fault: "readers that do not read", promise: "bounded memory; others are served" },
  { row: 27, fault: "a chain's session dies", promise: "the chain ends with a reason, no orphan stays" },
  { row: 28, fault: "the workflows' code changes while sessions are open", promise: "recorded histories replay" },
  { row: 29, fault: "no database connection is free", promise: "appends go on; reads fail first, with a hint" },
  { row: 30, fault: "a part of Baton does not start", promise: "the supervisor pauses longer each time; sessions do not fail by it" },
];
