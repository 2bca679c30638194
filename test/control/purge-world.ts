import { onDoor } from "./on-door.ts";

/** A door (`onDoor`) to purge by, and what is looked at afterwards. */
export function onPurges() {
  const on = onDoor();
  return Object.assign(on, {
    purge: (args: Record<string, unknown>) => on.door.call({ action: "purge", actor: "@test", ...args }),
    refsOf: (session: string) => on.git("for-each-ref", "--format=%(refname)", `refs/baton/${session}`).split("\n").filter(Boolean),
    /** rows of a session in whatever table has such rows, but for its tombstone */
    async rows(session: string): Promise<string[]> {
      const tables = await on.baton.query<{ name: string }>(
        "select table_name as name from information_schema.columns where table_schema = 'public' and column_name = 'session_ulid' and table_name not in ('session', 'head', 'generation', 'host_inbox')",
      );
      const left: string[] = [];
      for (const { name } of tables) if ((await on.baton.query(`select 1 from ${name} where session_ulid = $1`, [session])).length > 0) left.push(name);
      return left;
    },
  });
}
