/** What a command ends with: for scripts. */
export const exitCodes = {
  done: 0,
  /** Baton refused: the answer's `error` says why */
  refused: 1,
  /** no Baton runs on this home, or none answers */
  notRunning: 2,
  /** refused for now: the same command may work in a moment */
  tryAgain: 3,
  /** the command itself is written wrongly */
  usage: 64,
} as const;

/** The command is written wrongly: the message says how it is written. */
export class Usage extends Error {}
