import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { isConnectionTrouble, isContention, translated } from "./database-errors.ts";
import type { Tx } from "./store.ts";

/** One pool with the settings that keep a frozen process from holding a row lock against its successor. */
export interface Database {
  readonly pool: pg.Pool;
  /** the one NOTIFY channel of this instance */
  readonly channel: string;
  /** one transaction; `body` may run several times (contention), so it must have no other effects */
  transaction<T>(body: (tx: Tx) => Promise<T>): Promise<T>;
  /** rows with camelCase names */
  rows<T>(sql: string, values?: unknown[]): Promise<T[]>;
  row<T>(sql: string, values?: unknown[]): Promise<T | null>;
  /** as `rows`, each row sent as one JSON value: for statements of many columns, where the driver's work on each is most of what they cost us */
  wideRows<T>(sql: string, values?: unknown[]): Promise<T[]>;
}

const settings = "-c idle_in_transaction_session_timeout=5000 -c lock_timeout=3000 -c statement_timeout=15000 -c synchronous_commit=on -c timezone=UTC";
const tries = 6;

/** Opens the pool (lazily: Postgres may be away). `instance` names the channel. */
export function openDatabase(options: { databaseUrl: string; instance: string; maxConnections?: number }): Database {
  const pool = new pg.Pool({
    connectionString: options.databaseUrl,
    max: options.maxConnections ?? 10,
    options: settings,
    types: { getTypeParser },
    connectionTimeoutMillis: 5_000,
    // A connection that was cut in silence never answers, and never says so. Above `statement_timeout`, so that only such a one meets it.
    query_timeout: 17_000,
    keepAlive: true,
    application_name: "baton",
  });
  // A dying Postgres raises 'error' on idle clients (the pool's) and on clients in use (their own): unheard, either ends the process.
  pool.on("error", () => {});
  pool.on("connect", (client) => {
    client.on("error", () => {});
  });
  const query = async (sql: string, values?: unknown[]) => (await retried(() => pool.query<Record<string, unknown>>(prepared(sql, values)))).rows;
  return {
    pool,
    channel: `baton_${options.instance}`,
    transaction: (body) => retried(() => once(pool, body)),
    rows: async <T>(sql: string, values?: unknown[]) => (await query(sql, values)).map(camel) as T[],
    row: async <T>(sql: string, values?: unknown[]) => ((await query(sql, values)).map(camel)[0] ?? null) as T | null,
    wideRows: async <T>(sql: string, values?: unknown[]) =>
      (await query(`select row_to_json(r) as row from (${sql}) r`, values)).map(({ row }) => fromJson<T>(row as Record<string, unknown>)),
  };
}

async function once<T>(pool: pg.Pool, body: (tx: Tx) => Promise<T>): Promise<T> {
  const tx = await pool.connect().catch((error: unknown) => {
    throw translated(error, "no");
  });
  let committing = false;
  try {
    await tx.query("begin");
    const result = await body(tx);
    committing = true;
    const done = await tx.query("commit");
    // a body that swallowed an error: Postgres answers COMMIT with ROLLBACK
    if (done.command === "ROLLBACK") throw new Error("The transaction had failed and was rolled back");
    tx.release();
    return result;
  } catch (error) {
    const broken =
      isConnectionTrouble(error) ||
      (await tx.query("rollback").then(
        () => false,
        () => true,
      ));
    tx.release(broken);
    throw isConnectionTrouble(error) ? translated(error, committing ? "unknown" : "no") : error;
  }
}

async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!isContention(error) || attempt === tries) throw translated(error, "unknown");
      await sleep(Math.random() * 20 * 2 ** attempt);
    }
  }
}

/** bigint as number (counts and offsets stay below 2^53), times as ISO 8601 UTC with milliseconds. */
const getTypeParser = ((oid: number, format?: "text" | "binary") => {
  if (oid === 20) return Number;
  if (oid === 1184) return (text: string) => new Date(text).toISOString();
  return pg.types.getTypeParser(oid, format as "text");
}) as typeof pg.types.getTypeParser;

const names = new Map<string, string>();

/** Our statements are few and fixed: each connection parses and plans one once. They name their columns: a plan for `*` fails when a newer Baton adds one. Without values there is nothing to prepare for. */
export function prepared(text: string, values: unknown[] = []): pg.QueryConfig {
  if (values.length === 0) return { text };
  let name = names.get(text);
  // Readable, for whoever looks at the wire or at Postgres's views; a name has at most 63 bytes.
  if (name === undefined) names.set(text, (name = `${names.size} ${text.replace(/\s+/g, " ")}`.slice(0, 63)));
  return { text, values, name };
}

/** A row's column names as ours: `session_ulid` → `sessionUlid`. Values are left alone. */
export function camel(row: Record<string, unknown>): Record<string, unknown> {
  const renamed: Record<string, unknown> = {};
  for (const name in row) renamed[columnOf(name).name] = row[name];
  return renamed;
}

/** A row that came as JSON, as if it had come as columns: names as ours, and times, which are those that are named so, with milliseconds. */
export function fromJson<T>(json: Record<string, unknown>): T {
  const row: Record<string, unknown> = {};
  for (const raw in json) {
    const { name, isTime } = columnOf(raw);
    const value = json[raw];
    row[name] = isTime && typeof value === "string" ? withMilliseconds(value) : value;
  }
  return row as T;
}

/** Postgres says microseconds, and none that are 0 at the end; nearly all have six. */
const withMilliseconds = (time: string): string => (time.length === 32 && time.endsWith("+00:00") ? `${time.slice(0, 23)}Z` : new Date(time).toISOString());

/** Columns are few and rows are many. */
const columns = new Map<string, { name: string; isTime: boolean }>();
function columnOf(raw: string): { name: string; isTime: boolean } {
  let found = columns.get(raw);
  if (found === undefined) {
    const name = raw.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
    columns.set(raw, (found = { name, isTime: name === "at" || name.endsWith("At") }));
  }
  return found;
}

/** One row inside a transaction, camelCase, or null. */
export async function txRow<T>(tx: Tx, sql: string, values: unknown[]): Promise<T | null> {
  return ((await tx.query<Record<string, unknown>>(prepared(sql, values))).rows.map(camel)[0] as T) ?? null;
}
export async function txRows<T>(tx: Tx, sql: string, values: unknown[]): Promise<T[]> {
  return (await tx.query<Record<string, unknown>>(prepared(sql, values))).rows.map(camel) as T[];
}
