import type { Config } from "../contracts/config.schema.ts";

/** Error: the address of a server of the user's own is none; the sentence names its variable. */
export function checkAddresses({ databaseUrl, temporalAddress }: Pick<Config, "databaseUrl" | "temporalAddress">): void {
  if (databaseUrl !== undefined && !/^postgres(ql)?:$/.test(URL.parse(databaseUrl)?.protocol ?? ""))
    throw new Error("DATABASE_URL is no address of a Postgres: it looks like postgres://user:password@host:5432/database.");
  if (temporalAddress !== undefined && !/^[^\s/:]+:\d{1,5}$|^\[[0-9a-fA-F:.]+\]:\d{1,5}$/.test(temporalAddress))
    throw new Error(`TEMPORAL_ADDRESS is no address of a Temporal: "${temporalAddress}". It looks like host:7233.`);
}
