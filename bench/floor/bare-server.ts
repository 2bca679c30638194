/** HTTP and Postgres and nothing else: `node bare-server.ts <databaseUrl>`. GET /status?s=…, /events?s=…&n=…. Prints its port. */
import { createServer } from "node:http";
import pg from "pg";

const pool = new pg.Pool({ connectionString: process.argv[2], max: 10 });
const server = createServer((request, response) => {
  const url = new URL(request.url ?? "", "http://floor");
  const session = url.searchParams.get("s");
  const answer =
    url.pathname === "/status"
      ? pool.query("select * from session where session_ulid = $1", [session])
      : pool.query("select seq, at, type, data from event where session_ulid = $1 order by seq limit $2", [session, Number(url.searchParams.get("n"))]);
  answer.then(
    ({ rows }) => response.setHeader("content-type", "application/json").end(JSON.stringify(rows)),
    (error: unknown) => response.writeHead(500).end(String(error)),
  );
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as { port: number }).port));
