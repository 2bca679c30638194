import { randomBytes } from "node:crypto";
import pg from "pg";
import { migrate } from "../../store/migrate.ts";

const template = "baton_template";

/**
 * A database of its own for one test file, a copy of a migrated template. `url` is a superuser's.
 * `drop` ends its connections and removes it.
 */
export async function freshDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `baton_${randomBytes(8).toString("hex")}`;
  await asAdmin(async (admin) => {
    // two test workers at once: one makes the template, the other waits here
    await admin.query("select pg_advisory_lock(7717)");
    await makeTemplate(admin);
    await admin.query(`create database ${name} template ${template}`);
    await admin.query("select pg_advisory_unlock(7717)");
  });
  return {
    url: databaseUrl(name),
    drop: () =>
      asAdmin(async (admin) => {
        await admin.query(`drop database if exists ${name} with (force)`);
      }),
  };
}

/** An empty database without our tables, for the tests of migrations themselves. */
export async function emptyDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const name = `baton_${randomBytes(8).toString("hex")}`;
  await asAdmin(async (admin) => {
    await admin.query(`create database ${name}`);
  });
  return {
    url: databaseUrl(name),
    drop: () =>
      asAdmin(async (admin) => {
        await admin.query(`drop database if exists ${name} with (force)`);
      }),
  };
}

async function makeTemplate(admin: pg.Client): Promise<void> {
  if ((await admin.query("select 1 from pg_database where datname = $1", [template])).rowCount !== 0) return;
  // renamed when it is whole: a worker killed halfway leaves no half migrated template
  await admin.query(`drop database if exists ${template}_unfinished with (force)`);
  await admin.query(`create database ${template}_unfinished`);
  await migrate(databaseUrl(`${template}_unfinished`));
  await admin.query(`alter database ${template}_unfinished rename to ${template}`);
}

async function asAdmin(body: (admin: pg.Client) => Promise<void>): Promise<void> {
  const admin = new pg.Client({ connectionString: databaseUrl("postgres") });
  await admin.connect();
  try {
    await body(admin);
  } finally {
    await admin.end();
  }
}

function databaseUrl(name: string): string {
  const url = new URL(process.env["TEST_POSTGRES_URL"] ?? "");
  url.pathname = `/${name}`;
  return url.href;
}
