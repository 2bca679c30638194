import pg from "pg";
import { Connection } from "@temporalio/client";
import { searchAttributes } from "../../contracts/messages.ts";
import { missingSearchAttributes } from "../../local/temporal/search-attributes.ts";
import { freshDatabase } from "../support/fresh-database.ts";

test("a fresh database is migrated and its own", async () => {
  const [one, other] = await Promise.all([freshDatabase(), freshDatabase()]);
  const client = new pg.Client({ connectionString: one.url });
  await client.connect();
  const tables = await client.query<{ n: string }>("select count(*) n from information_schema.tables where table_schema = 'public'");
  expect(Number(tables.rows[0]?.n)).toBeGreaterThan(0);
  expect(one.url).not.toBe(other.url);
  await client.end();
  await Promise.all([one.drop(), other.drop()]);
});

test("the test Temporal knows our search attributes", async () => {
  const connection = await Connection.connect({ address: process.env["TEST_TEMPORAL_ADDRESS"] ?? "" });
  expect(searchAttributes).toHaveLength(5);
  expect(await missingSearchAttributes(connection, "default")).toEqual([]);
  await connection.close();
});
