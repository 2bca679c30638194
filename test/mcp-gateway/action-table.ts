import { ulid } from "ulid";

/** Sessions that the table's calls are made on; each is in the state of its name. */
export interface World {
  repository: string;
  idle: string;
  running: string;
  asking: string;
  /** what `asking` asks */
  approvalId: string;
  /** the task of `idle` */
  taskKey: string;
}
type Args = Record<string, unknown>;

/** One action with arguments that work, and, where an action can meet one, a state in which it is refused. */
export interface Row {
  tool: string;
  action: string;
  /** a new key at each call: the same happy call is made several times */
  happy(world: World): Args;
  /** arguments, and the code of the refusal */
  wrongState?(world: World): { args: Args; code: string };
  /** what names somebody's session or chain in `happy`; another principal must not learn that it is there */
  theirs?: boolean;
}

const row = (tool: string, action: string, happy: Row["happy"], more: Pick<Row, "wrongState" | "theirs"> = {}): Row => ({ tool, action, happy, ...more });
const session = (action: string, happy: Row["happy"], more: Pick<Row, "wrongState" | "theirs"> = {}): Row => row("pm_session", action, happy, more);
const onIdle = { theirs: true };
const noPreset = { wrongState: () => ({ args: { key: "not-there" }, code: "NOT_FOUND" }) };

/** A launch of a task that nobody has; `action` and key are fresh at each call. */
function launchArgs(world: World): Args {
  const n = ulid().slice(-8);
  return {
    clientRequestId: `table-${n}`,
    actor: "@table",
    taskKey: `TABLE-${n}`,
    launcherConfigKey: "demo-executor",
    agentHandle: "executor",
    prompt: "go",
    config: { scenario: { turns: [[{ say: "done" }]] } },
    task: { title: "table", repositoryPath: world.repository, projectKey: "TABLE" },
    run: false,
  };
}

/** Every action of every tool. A test fails for one that the registry has and this table has not. */
export const table: Row[] = [
  session("list", () => ({ limit: 5 })),
  session("get", (w) => ({ sessionUlid: w.idle }), onIdle),
  session("events", (w) => ({ sessionUlid: w.idle, sinceSeq: 0, limit: 5 }), onIdle),
  session("live_deltas", (w) => ({ sessionUlid: w.idle, sinceSeq: 0, waitMs: 0 }), onIdle),
  session("approvals", (w) => ({ sessionUlid: w.asking }), onIdle),
  session("wait", (w) => ({ sessionUlids: [w.idle], until: "idle", waitMs: 0 }), onIdle),
  session("launch_task", launchArgs, {
    wrongState: (w) => ({ args: { ...launchArgs(w), taskKey: "TABLE-RUNNING" }, code: "CONFLICT_STATE" }),
  }),
  session(
    "start",
    (w) => ({
      clientRequestId: ulid(),
      actor: "@table",
      contextRef: `spike-${ulid().slice(-8)}`,
      role: "executor",
      provider: "scripted",
      systemPrompt: "You are careful.",
      launcherConfigKey: "demo-executor",
      repositoryPath: w.repository,
    }),
    {},
  ),
  session("input", (w) => ({ sessionUlid: w.idle, prompt: "again" }), onIdle),
  session("run", (w) => ({ sessionUlid: w.idle, prompt: "again", clientRequestId: ulid() }), {
    ...onIdle,
    wrongState: (w) => ({ args: { sessionUlid: w.running }, code: "CONFLICT_STATE" }),
  }),
  session("abort", (w) => ({ sessionUlid: w.idle }), onIdle),
  session("close", (w) => ({ sessionUlid: w.idle, reason: "table" }), onIdle),
  session("respond", (w) => ({ approvalId: w.approvalId, decision: "allow" }), {
    wrongState: () => ({ args: { approvalId: "01ARZ3NDEKTSV4RRFFQ69G5FAV", decision: "allow" }, code: "NOT_FOUND" }),
  }),
  session("tree", (w) => ({ sessionUlid: w.idle }), onIdle),
  session("prompt", (w) => ({ sessionUlid: w.idle }), onIdle),
  session("config", (w) => ({ sessionUlid: w.idle }), onIdle),
  session("spec", (w) => ({ sessionUlid: w.idle }), onIdle),
  session("restart", (w) => ({ clientRequestId: ulid(), actor: "@table", sessionUlid: w.idle, prompt: "again" }), {
    ...onIdle,
    wrongState: (w) => ({ args: { clientRequestId: ulid(), actor: "@table", sessionUlid: w.running }, code: "CONFLICT_STATE" }),
  }),
  session("diff", (w) => ({ sessionUlid: w.idle, stat: true }), onIdle),
  session("purge", (w) => ({ sessionUlid: w.idle, dryRun: true }), {
    ...onIdle,
    wrongState: (w) => ({ args: { sessionUlid: w.running }, code: "CONFLICT_STATE" }),
  }),
  session("help", () => ({ topic: "input" })),
  row("pm_task", "create", (w) => ({ taskKey: `TABLE-${ulid()}`, title: "table", repositoryPath: w.repository, projectKey: "TABLE" })),
  row("pm_task", "get", (w) => ({ taskKey: w.taskKey }), { wrongState: () => ({ args: { taskKey: "TABLE-NONE" }, code: "NOT_FOUND" }) }),
  row("pm_task", "list", () => ({ limit: 3 })),
  row("pm_task", "change_status", (w) => ({ taskKey: w.taskKey, to: "in_progress", reason: "table" }), {
    wrongState: (w) => ({ args: { taskKey: w.taskKey, to: "verified" }, code: "CONFLICT_STATE" }),
  }),
  row("pm_task", "help", () => ({})),
  row("pm_provider", "list_presets", () => ({ includeProviderDefaults: false })),
  row("pm_provider", "get_preset", () => ({ key: "table" }), noPreset),
  row("pm_provider", "list_providers", () => ({})),
  row("pm_provider", "create_preset", () => ({ key: `made-${ulid()}`, providerType: "scripted", config: { scenario: { turns: [[{ say: "x" }]] } } }), {
    wrongState: () => ({ args: { key: "table", providerType: "scripted" }, code: "CONFLICT_STATE" }),
  }),
  row("pm_provider", "update_preset", () => ({ key: "table-changed", description: "changed" }), noPreset),
  row("pm_provider", "delete_preset", () => ({ key: "table-gone" }), noPreset),
  row("pm_provider", "test_preset", () => ({ key: "table" }), noPreset),
  row("pm_provider", "help", () => ({})),
  row("pm_health", "pm_health", () => ({})),
  row("pm_generate_ulid", "pm_generate_ulid", () => ({ count: 2 })),
];
