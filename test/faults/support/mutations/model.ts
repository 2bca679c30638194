import type { Mutation } from "./mutation.ts";

const here = { test: "test/model/model.test.ts", title: "end as the model says" };

/** Protections that the model test shows, most of them by an entry of its corpus. */
export const mutations: Mutation[] = [
  {
    ...here,
    protection: "an input that comes while its session closes wakes it again",
    file: "store/sessions.ts",
    find: 'if (ended && a.state === "closed" && a.waiting !== undefined && (await hasLateInput(tx, a.sessionUlid, a.waiting))) await wake(db, tx, a.sessionUlid);',
    replace: "void [ended, hasLateInput];",
  },
  {
    ...here,
    protection: "a woken session takes all that waits, in order",
    file: "client/start-workflow.ts",
    find: "carried: { queue: await waiting(store, row),",
    replace: "carried: { queue: (await waiting(store, row)).toReversed(),",
  },
  {
    ...here,
    protection: "an abort with dropQueue false keeps what waits",
    file: "client/abort.ts",
    find: "const { sessionUlid } = await findSession(store, args.sessionUlid);",
    replace: "const { sessionUlid } = await findSession(store, args.sessionUlid);\n  args = { ...args, dropQueue: true };",
  },
  {
    ...here,
    protection: "a row that Postgres refuses is bisected out of its batch",
    file: "store/append-lane.ts",
    find: "return appendOne(asUnparsed(batch, (error as Error).message));",
    replace: "throw error;",
  },
];
