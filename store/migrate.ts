import { readFileSync, readdirSync } from "node:fs";
import pg from "pg";

const directory = new URL("./migrations/", import.meta.url);
const migrationLock = 7_717_001;

interface Migration {
  version: number;
  name: string;
  breaking: number;
  sql: string;
}

/** The numbered files, in order. `-- breaking: n` on the first line: programs that know fewer than n migrations must not run on it. */
export function migrations(): Migration[] {
  return readdirSync(directory)
    .filter((name) => /^\d{4}_.*\.sql$/.test(name))
    .sort()
    .map((name) => {
      const sql = readFileSync(new URL(name, directory), "utf8");
      return { version: Number(name.slice(0, 4)), name, breaking: Number(/^-- breaking: (\d+)/.exec(sql)?.[1] ?? 1), sql };
    });
}

/**
 * Brings the database to this program's schema; many may call it at once. `log` gets one line per file.
 * Error: the schema is from a newer program and breaks this one.
 */
export async function migrate(databaseUrl: string, options: { log?: (line: string) => void } = {}): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on("error", () => {});
  await client.connect();
  try {
    // the session's lock: the second one waits here until the first one is done
    await client.query("select pg_advisory_lock($1)", [migrationLock]);
    await client.query(
      "create table if not exists schema_info (one boolean primary key default true check (one), version integer not null, breaking integer not null)",
    );
    await client.query("insert into schema_info (version, breaking) values (0, 0) on conflict do nothing");
    const { version, breaking } = (await client.query<{ version: number; breaking: number }>("select version, breaking from schema_info")).rows[0]!;
    const known = migrations();
    const newest = known.at(-1)?.version ?? 0;
    if (breaking > newest)
      throw new Error(
        `This Baton knows the database schema up to ${newest}; the database is at ${version} and needs a Baton that knows ${breaking}. Run the newer Baton.`,
      );
    for (const migration of known.filter((m) => m.version > version)) {
      options.log?.(`database: ${migration.name}`);
      // One transaction with its version: killed in between, it is as if it never began.
      await client.query("begin");
      await client.query(migration.sql);
      await client.query("update schema_info set version = $1, breaking = greatest(breaking, $2)", [migration.version, migration.breaking]);
      await client.query("commit");
    }
  } finally {
    await client.end();
  }
}
