import { readFileSync, writeFileSync } from "node:fs";
import pg from "pg";
import { migrate } from "../../store/migrate.ts";
import { dumpSchema } from "../../store/schema-dump.ts";
import { emptyDatabase } from "../support/fresh-database.ts";

test("several at once make the golden schema; a newer breaking one is refused", async () => {
  const database = await emptyDatabase();
  try {
    await Promise.all([migrate(database.url), migrate(database.url), migrate(database.url)]);
    const dumped = await dumpSchema(database.url);
    const golden = new URL("./schema.golden.txt", import.meta.url);
    // After a new migration: BATON_RECORD_SCHEMA=1, then read the difference.
    if (process.env["BATON_RECORD_SCHEMA"] === "1") writeFileSync(golden, dumped);
    expect(dumped).toBe(readFileSync(golden, "utf8"));
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query("update schema_info set version = 999, breaking = 999");
    await client.end();
    await expect(migrate(database.url)).rejects.toThrow("Run the newer Baton");
  } finally {
    await database.drop();
  }
});
