import { readConfig } from "../contracts/config.schema.ts";
import { migrate } from "../store/migrate.ts";

/** Brings the database of DATABASE_URL to the newest schema: for clusters, where nobody runs `npm start`. */
const { databaseUrl } = readConfig(process.env);
if (databaseUrl === undefined) throw new Error("Set DATABASE_URL to the database to migrate.");
await migrate(databaseUrl);
process.stdout.write("The schema is up to date.\n");
