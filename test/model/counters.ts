/** What must have happened at least once in a whole run: else the run proved less than it says. */
export const met = {
  "a former owner was refused": 0,
  "a second host adopted a turn": 0,
  "a batch was bisected": 0,
  "a request was replayed": 0,
  "a key was refused for another request": 0,
  "a turn was interrupted": 0,
  "a generation was woken": 0,
  "a turn took more than one attempt": 0,
  "a waiting input was dropped by an abort": 0,
  "an approval was answered": 0,
};
export type Met = typeof met;

export const newCounters = (): Met => ({ ...met });
