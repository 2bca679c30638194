import { openLane } from "./append-lane.ts";
import { approvalStore } from "./approvals.ts";
import { chainQuestionStore } from "./chain-questions.ts";
import { chainStore } from "./chains.ts";
import { openDatabase } from "./database.ts";
import { openFeed } from "./event-feed.ts";
import { eventPages } from "./event-pages.ts";
import { eventStore } from "./events.ts";
import { healthStore } from "./health.ts";
import { hostStore } from "./hosts.ts";
import { inputStore } from "./inputs.ts";
import { launchStore } from "./launches.ts";
import { limitStore } from "./limits.ts";
import { mcpTaskStore } from "./mcp-tasks.ts";
import { purgeStore } from "./purge.ts";
import { reachStore } from "./reach.ts";
import { lockName, recordRefusal, requestStore } from "./requests.ts";
import { runnerStore } from "./runners.ts";
import { factsStore } from "./session-facts.ts";
import { sessionStore } from "./sessions.ts";
import { settleStore } from "./settle-watches.ts";
import type { Store } from "./store.ts";
import { taskStore } from "./tasks.ts";
import { tokenStore } from "./tokens.ts";
import { turnWaitStore } from "./turn-waits.ts";
import { turnStore } from "./turns.ts";

/** Opens the store on a migrated database; connects at the first use. Default 10 connections and one that listens. `instance` (BATON_INSTANCE) names the notification channel. */
export async function openStore(options: { databaseUrl: string; instance: string; maxConnections?: number }): Promise<Store> {
  const db = openDatabase(options);
  const lane = openLane(db);
  const feed = openFeed(db, options.databaseUrl);
  return {
    pool: db.pool,
    transaction: db.transaction,
    async close() {
      lane.close();
      await lane.idle();
      await feed.close();
      await db.pool.end();
    },
    async ping() {
      await db.rows("select 1");
    },
    health: healthStore(db),
    recordRequest: requestStore(db),
    lockName,
    recordRefusal: (audit) => recordRefusal(db, audit),
    sessions: sessionStore(db),
    purge: purgeStore(db),
    facts: factsStore(db),
    inputs: inputStore(db),
    turns: turnStore(db),
    events: eventStore(db),
    pages: eventPages(db),
    runners: runnerStore(db),
    hosts: hostStore(db),
    approvals: approvalStore(db),
    tasks: taskStore(db),
    chains: chainStore(db),
    chainQuestions: chainQuestionStore(db),
    launches: launchStore(db),
    limits: limitStore(db),
    settles: settleStore(db),
    tokens: tokenStore(db),
    reach: reachStore(db),
    mcpTasks: mcpTaskStore(db),
    waits: turnWaitStore(db),
    lane,
    feed,
  };
}
