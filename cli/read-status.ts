import type { PmClient } from "../client/pm-client.ts";

interface Call {
  tool: string;
  args: Record<string, unknown>;
  why: string;
}
/** What waits for somebody: a session's approval, question, failure; a chain's gate. */
export interface Waiting {
  /** a session's readable name, or a chain's id */
  name: string;
  sessionUlid: string | null;
  kind: string;
  since: string;
  say: string;
  approvalId: string | null;
  next: Call[];
}
export interface Working {
  name: string;
  sessionUlid: string;
  state: string;
  role: string;
  provider: string;
  agentHandle: string;
  since: string;
}
export interface Status {
  url: string;
  version: string;
  status: string;
  hosts: { hostId: string; alive: boolean }[];
  queues: Record<string, number> | null;
  waiting: Waiting[];
  running: Working[];
  idle: Working[];
}

/** Sessions that are looked at for what exactly they wait for. */
const mostLooked = 20;

type Row = Omit<Working, "since"> & { lastActivityAt: string; attention: { kind: string; since: string; say: string }[] };
type Approval = {
  approvalId: string;
  sessionUlid: string | null;
  chainId: string | null;
  kind: string;
  title: string;
  askedAt: string;
  options: { id: string }[];
};

/** Reads what runs and what waits, by the calls that any orchestrator has. */
export async function readStatus(pm: PmClient, url: string): Promise<Status> {
  const list = async (filter: object) => ((await pm.call("pm_session", { action: "list", ...filter })) as unknown as { sessions: Row[] }).sessions;
  const [health, running, idle, attention, open] = await Promise.all([
    pm.call("pm_health", {}),
    list({ status: "RUNNING" }),
    list({ status: "IDLE" }),
    list({ attention: true }),
    pm.call("pm_session", { action: "approvals" }) as unknown as Promise<{ approvals: Approval[] }>,
  ]);
  const waiting = await Promise.all(attention.slice(0, mostLooked).map((row) => whatFor(pm, row)));
  const ofChains = open.approvals.filter((approval) => approval.sessionUlid === null);
  const plain = ({ name, sessionUlid, state, role, provider, agentHandle, lastActivityAt }: Row) => ({
    name,
    sessionUlid,
    state,
    role,
    provider,
    agentHandle,
    since: lastActivityAt,
  });
  const waits = new Set(attention.map((row) => row.sessionUlid));
  return {
    url,
    version: String(health["version"] ?? ""),
    status: String(health["status"]),
    hosts: (health["hosts"] as Status["hosts"]).map(({ hostId, alive }) => ({ hostId, alive })),
    queues: (health["queues"] as Status["queues"]) ?? null,
    waiting: [...waiting.flat(), ...ofChains.map(chainGate)].toSorted((a, b) => (a.since < b.since ? -1 : 1)),
    running: running.filter((row) => !waits.has(row.sessionUlid)).map(plain),
    idle: idle.filter((row) => !waits.has(row.sessionUlid)).map(plain),
  };
}

async function whatFor(pm: PmClient, row: Row): Promise<Waiting[]> {
  const full = (await pm.call("pm_session", { action: "get", sessionUlid: row.sessionUlid })) as unknown as {
    attention: { kind: string; since: string; say: string; next?: Call[] }[];
  };
  return full.attention.map(({ kind, since, say, next = [] }) => {
    const approvalId = next.map((call) => call.args["approvalId"]).find((id) => typeof id === "string") ?? null;
    return { name: row.name, sessionUlid: row.sessionUlid, kind, since, say, approvalId, next };
  });
}

function chainGate({ approvalId, chainId, kind, title, askedAt, options }: Approval): Waiting {
  const next = options.map(({ id }) => ({ tool: "pm_session", args: { action: "respond", approvalId, decision: id }, why: id }));
  return { name: `chain ${chainId ?? ""}`, sessionUlid: null, kind, since: askedAt, say: title, approvalId, next };
}
