/** What the workflow bundle exports: names are Temporal's workflow types. */
export { session } from "./session.ts";
export { chain } from "./chain.ts";
