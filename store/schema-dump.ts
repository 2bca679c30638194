import pg from "pg";

const parts: [string, string][] = [
  [
    "tables",
    `select c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || case when a.attnotnull then ' not null' else '' end || case when a.attidentity <> '' then ' identity' else '' end || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as line
    from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped`,
  ],
  [
    "constraints",
    `select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) as line from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n'`,
  ],
  ["indexes", `select indexdef as line from pg_indexes where schemaname = 'public'`],
  [
    "functions",
    `select proname || '(' || pg_get_function_arguments(oid) || ') ' || pg_get_function_result(oid) || ' ' || md5(prosrc) as line from pg_proc where pronamespace = 'public'::regnamespace`,
  ],
];

/** The schema as sorted lines of text, from the catalog: equal schemas, equal text. */
export async function dumpSchema(databaseUrl: string): Promise<string> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const text: string[] = [];
    for (const [title, sql] of parts) {
      const lines = (await client.query<{ line: string }>(sql)).rows.map((row) => row.line).sort();
      text.push(`-- ${title}`, ...lines, "");
    }
    return text.join("\n");
  } finally {
    await client.end();
  }
}
