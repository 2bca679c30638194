import type { Mutation } from "./mutation.ts";

const trustOfPeople = "test/mcp-gateway/trust-people.test.ts";
const trustOfAgents = "test/mcp-gateway/trust-agents.test.ts";
const agents = "test/faults/agents.test.ts";

/** What keeps callers to what is theirs, each switched off once. */
export const mutations: Mutation[] = [
  {
    protection: "a token that is revoked or has expired is refused",
    file: "client/tokens.ts",
    find: " || !token.valid) return null;",
    replace: ") return null;",
    test: trustOfPeople,
    title: "a token's secret is shown once",
  },
  {
    protection: "a token does what its scopes say",
    file: "client/authorize.ts",
    find: "if (!hasScope(caller, called.scope))",
    replace: 'if (!hasScope(caller, called.scope) && called.scope === "operator")',
    test: trustOfPeople,
    title: "each principal has its own sessions",
  },
  {
    protection: "reviewers of its chain are no part of an executor's subtree",
    file: "store/migrations/0003_trust.sql",
    find: "    where s.chain_id is null or c.chain_id is distinct from s.chain_id\n",
    replace: "",
    test: trustOfAgents,
    title: "an executor has no power over those who judge it",
  },
  {
    protection: "a message of an agent to itself answers nothing",
    file: "client/authorize.ts",
    find: 'found["delivery"] ??= "queue";',
    replace: "found;",
    test: trustOfAgents,
    title: "an agent answers what its own agents ask, never itself",
  },
  {
    protection: "of two launches at once both cannot be the last that is allowed",
    file: "store/lineage.ts",
    find: 'await tx.query("select pg_advisory_xact_lock(hashtextextended(root_ulid, 3)) from session where session_ulid = $1", [sessionUlid]);',
    replace: "",
    test: trustOfAgents,
    title: "launches of agents are counted",
  },
  {
    protection: "an agent that waits for its own agents gives its slot to them",
    file: "host/waits.ts",
    find: "pause(deps, held, row.waitId);",
    replace: "void pause;",
    test: agents,
    title: "agents three deep",
  },
  {
    protection: "an agent's secrets are masked before anything is written",
    file: "runner/main.ts",
    find: "maskOf(launch.secrets ?? [])",
    replace: "maskOf([])",
    test: agents,
    title: "referenced secrets and the agent's own token",
  },
  {
    protection: "what may be the beginning of a secret waits for its own item to go on",
    file: "runner/mask.ts",
    find: "putOut((one) => endsItem(record, one.itemId))",
    replace: "putOut(() => true)",
    test: "test/runner/mask.test.ts",
    title: "also between those of others",
  },
  {
    protection: "no more is held back than of a few items",
    file: "runner/mask.ts",
    find: "const mostHeld = 64;",
    replace: "const mostHeld = Infinity;",
    test: "test/runner/mask.test.ts",
    title: "what is held back of many items is bounded",
  },
  {
    protection: "with its runner an agent's token ends",
    file: "store/runners.ts",
    find: "update token set revoked_at = clock_timestamp() where runner_id = $1 and revoked_at is null",
    replace: "update token set revoked_at = clock_timestamp() where runner_id = $1 and false",
    test: agents,
    title: "referenced secrets and the agent's own token",
  },
];
