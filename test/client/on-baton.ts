import { join } from "node:path";
import pg from "pg";
import { type Baton, openBaton } from "../../client/open-baton.ts";
import { openStore } from "../../store/open-store.ts";
import type { Store } from "../../store/store.ts";
import { batonOptions, repository } from "./support.ts";
import { freshDatabase } from "../support/fresh-database.ts";
import { temporaryDirectory } from "../support/temp-directory.ts";

/** What a test file without workers works on. The fields are filled before its first test. */
export interface OnBaton {
  home: string;
  databaseUrl: string;
  baton: Baton;
  /** a store of our own on Baton's database */
  store: Store;
  /** an eye of our own on it */
  sql: pg.Client;
  /** a repository with one commit, made when it is asked for */
  readonly repositoryPath: string;
}

/** Baton on a database of its own, without workflows and agents; from before the file's first test until behind its last. */
export function onBaton(instance = "test"): OnBaton {
  const home = temporaryDirectory();
  let database: { url: string; drop(): Promise<void> };
  let repositoryPath: string | undefined;
  const on = {
    home,
    get repositoryPath() {
      return (repositoryPath ??= repository(join(home, "repository")));
    },
  } as OnBaton;
  beforeAll(async () => {
    database = await freshDatabase();
    on.databaseUrl = database.url;
    on.store = await openStore({ databaseUrl: database.url, instance });
    on.baton = await openBaton(batonOptions({ home, databaseUrl: database.url, instance }));
    on.sql = new pg.Client({ connectionString: database.url });
    await on.sql.connect();
  });
  afterAll(async () => {
    await Promise.allSettled([on.baton.close(), on.store.close(), on.sql.end()]);
    await database.drop();
  });
  return on;
}
