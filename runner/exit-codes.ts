/** Why a runner ended before it served anybody. */
export const exitCodes = { locked: 75, fenced: 76, survivors: 77 } as const;
