import { startPostgres } from "../../local/postgres/postgres.ts";
import pg from "pg";

/** Starts Postgres on a data directory, asks it something, and stops it. Arguments: directory, password. */
const [dataDir = "", password = ""] = process.argv.slice(2);
const postgres = await startPostgres({ dataDir, port: 0, password, durable: false, dieWithParent: true, say: (line) => console.log(line) });
try {
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  await client.query("select 1");
  await client.end();
  console.log("answered");
} finally {
  await postgres.stop();
}
