import { readFileSync } from "node:fs";
import pg from "pg";
import { migrate } from "../../store/migrate.ts";
import { dumpSchema } from "../../store/schema-dump.ts";
import { emptyDatabase } from "../support/fresh-database.ts";

test("several at once make the golden schema; a newer breaking one is refused", async () => {
  const database = await emptyDatabase();
  try {
    await Promise.all([migrate(database.url), migrate(database.url), migrate(database.url)]);
    expect(await dumpSchema(database.url)).toBe(readFileSync(new URL("./schema.golden.txt", import.meta.url), "utf8"));
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query("update schema_info set version = 999, breaking = 999");
    await client.end();
    await expect(migrate(database.url)).rejects.toThrow("Run the newer Baton");
  } finally {
    await database.drop();
  }
});
