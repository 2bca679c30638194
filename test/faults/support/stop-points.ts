/** Every boundary of a turn's life at which a host worker may die, freeze, or lose an answer; host-under-test.ts acts there. */
export const stopPoints = [
  "claimed",
  "handed",
  "runner.spawn.before",
  "runner.spawn.started",
  "runner.spawn.after",
  "prompt.sent",
  "prompt.told",
  "lane.before",
  "lane.after",
  "captured",
  "completed",
  "told",
  "reported",
];
