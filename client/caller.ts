/** Who calls (from a credential) and whom they claim to act as. */
export interface Caller {
  principal: string;
  actor?: string;
}

/** The local operator: the token file, stdio. Its keys need no prefix in Temporal. */
export const localPrincipal = "local";
