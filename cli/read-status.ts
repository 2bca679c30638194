import { type PmClient, PmError } from "../client/pm-client.ts";

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
  /** which of these three lists go on beyond what is here */
  cut: string[];
}

/** Sessions that are looked at for what exactly they wait for; the others are told in short. */
const mostLooked = 20;
/** Pages of a list, each of up to 200 sessions. */
const mostPages = 5;

type Row = Omit<Working, "since"> & { lastActivityAt: string; attention: { kind: string; since: string; say?: string }[] };
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
  const [health, running, idle, attention, open] = await Promise.all([
    pm.call("pm_health", {}),
    list(pm, { status: "RUNNING" }),
    list(pm, { status: "IDLE" }),
    list(pm, { attention: true }),
    pm.call("pm_session", { action: "approvals" }) as unknown as Promise<{ approvals: Approval[] }>,
  ]);
  const waiting = await Promise.all(attention.rows.map((row, at) => (at < mostLooked ? whatFor(pm, row) : Promise.resolve(inShort(row)))));
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
  const waits = new Set(attention.rows.map((row) => row.sessionUlid));
  return {
    url,
    version: String(health["version"] ?? ""),
    status: String(health["status"]),
    hosts: (health["hosts"] as Status["hosts"]).map(({ hostId, alive }) => ({ hostId, alive })),
    queues: (health["queues"] as Status["queues"]) ?? null,
    waiting: [...waiting.flat(), ...ofChains.map(chainGate)].toSorted((a, b) => (a.since < b.since ? -1 : 1)),
    running: running.rows.filter((row) => !waits.has(row.sessionUlid)).map(plain),
    idle: idle.rows.filter((row) => !waits.has(row.sessionUlid)).map(plain),
    cut: Object.entries({ waiting: attention, running, idle }).flatMap(([name, { more }]) => (more ? [name] : [])),
  };
}

/** All pages of a list, but not without end: `more` says that it goes on. */
async function list(pm: PmClient, filter: object): Promise<{ rows: Row[]; more: boolean }> {
  const rows: Row[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < mostPages; page += 1) {
    const answer = await pm.send("pm_session", { action: "list", ...filter, ...(cursor === undefined ? {} : { cursor }) });
    if (answer.error) throw new PmError(answer.error.code, answer.error.message);
    rows.push(...(answer.data?.["sessions"] as Row[]));
    cursor = answer.page?.nextCursor;
    if (cursor === undefined) return { rows, more: false };
  }
  return { rows, more: true };
}

/** What a session waits for, with the calls that help; nothing, when it was purged since it was listed. */
async function whatFor(pm: PmClient, row: Row): Promise<Waiting[]> {
  const { data, error } = await pm.send("pm_session", { action: "get", sessionUlid: row.sessionUlid });
  if (error?.code === "NOT_FOUND") return [];
  if (error) throw new PmError(error.code, error.message);
  const attention = data?.["attention"] as { kind: string; since: string; say: string; next?: Call[] }[];
  return attention.map(({ kind, since, say, next = [] }) => {
    const approvalId = next.map((call) => call.args["approvalId"]).find((id) => typeof id === "string") ?? null;
    return { name: row.name, sessionUlid: row.sessionUlid, kind, since, say, approvalId, next };
  });
}

/** The same as the list says it: without what helps. */
function inShort({ name, sessionUlid, attention }: Row): Waiting[] {
  return attention.map(({ kind, since, say = "" }) => ({ name, sessionUlid, kind, since, say, approvalId: null, next: [] }));
}

function chainGate({ approvalId, chainId, kind, title, askedAt, options }: Approval): Waiting {
  const next = options.map(({ id }) => ({ tool: "pm_session", args: { action: "respond", approvalId, decision: id }, why: id }));
  return { name: `chain ${chainId ?? ""}`, sessionUlid: null, kind, since: askedAt, say: title, approvalId, next };
}
