import { homedir, hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";

/** Every variable Baton reads, once. Times in ms, sizes in bytes. */
const variables = {
  BATON_HOME: z.string().min(1).optional(),
  BATON_INSTANCE: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, "lower-case letters, digits and dashes")
    .default("default"),
  BATON_HOST_ID: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "lower-case letters, digits and dashes")
    .optional(),
  BATON_PORT: z.coerce.number().int().min(0).max(65532).default(7717),
  BATON_LISTEN: z.string().min(1).default("127.0.0.1"),
  DATABASE_URL: z.string().optional(),
  TEMPORAL_ADDRESS: z.string().optional(),
  TEMPORAL_NAMESPACE: z.string().default("default"),
  BATON_HOST_BEAT_MS: ms(3_000),
  BATON_HOST_BEAT_TIMEOUT_MS: ms(15_000),
  BATON_TURN_ATTEMPTS: z.coerce.number().int().min(1).default(3),
  BATON_STOP_GRACE_MS: ms(2_000),
  BATON_KEEP_ALIVE_MS: ms(120_000),
  BATON_ORPHAN_MS: ms(600_000),
  BATON_STALL_MS: ms(900_000),
  BATON_TURN_SLOTS: z.coerce.number().int().min(1).default(8),
  BATON_HOST_LEASE_MS: ms(10_000),
  BATON_HOST_LEASE_RENEW_MS: ms(2_000),
  // A workflow's queue takes no more, and is told of each input once.
  BATON_INPUT_QUEUE: z.coerce.number().int().min(1).max(500).default(50),
  BATON_MAX_EVENT_BYTES: z.coerce.number().int().min(1_024).default(1_048_576),
  BATON_MAX_SPOOL_BYTES: z.coerce.number().int().min(65_536).default(1_073_741_824),
  BATON_TOKEN_GRACE_MS: ms(60_000),
  BATON_RECONCILE_MS: ms(30_000),
  BATON_SOCKET_IDLE_MS: ms(60_000),
  BATON_READ_ONLY: z.enum(["0", "1", "false", "true"]).default("0"),
  BATON_TOKEN: z.string().min(1).optional(),
  BATON_GATEWAY_URL: z.url({ protocol: /^https?$/ }).optional(),
  BATON_AGENT_DEPTH: z.coerce.number().int().min(0).default(3),
  BATON_AGENT_CHILDREN: z.coerce.number().int().min(0).default(8),
  BATON_AGENT_LAUNCHES: z.coerce.number().int().min(0).default(50),
  BATON_PROGRESS_MS: ms(10_000),
  BATON_WAITS: z.coerce.number().int().min(1).default(64),
} as const;

function ms(value: number) {
  return z.coerce.number().int().min(1).default(value);
}

export interface Config {
  home: string;
  instance: string;
  hostId: string;
  port: number;
  /** address the gateway listens on; other than loopback only behind a proxy of your own */
  listen: string;
  databaseUrl: string | undefined;
  temporalAddress: string | undefined;
  temporalNamespace: string;
  hostBeatMs: number;
  hostBeatTimeoutMs: number;
  turnAttempts: number;
  stopGraceMs: number;
  keepAliveMs: number;
  orphanMs: number;
  stallMs: number;
  turnSlots: number;
  hostLeaseMs: number;
  hostLeaseRenewMs: number;
  inputQueue: number;
  maxEventBytes: number;
  maxSpoolBytes: number;
  tokenGraceMs: number;
  /** between the two looks after which a session whose workflow is gone from Temporal ends */
  reconcileMs: number;
  /** a connection to the gateway on which nothing moves for this long is closed; above the longest wait of a call (25 s) */
  socketIdleMs: number;
  /** doors publish and serve only what changes nothing */
  readOnly: boolean;
  /** the token with which the stdio door calls; without one it is the local operator */
  token: string | undefined;
  /** where agents reach the gateway (its /mcp); without it they get none */
  gatewayUrl: string | undefined;
  /** levels of launches below a session that a person launched */
  agentDepth: number;
  /** sessions that an agent's session may have open at once, and launch in all */
  agentChildren: number;
  agentLaunches: number;
  /** between two words of progress to a host that waits for a call */
  progressMs: number;
  /** calls of one principal that may wait for news at once */
  waits: number;
  stickyMs: number;
  maxMessageBytes: number;
}

/** Reads the environment. Error: one message that names every wrong variable. */
export function readConfig(env: Record<string, string | undefined>): Config {
  const set = Object.fromEntries(Object.entries(env).filter(([name, value]) => name in variables && value !== ""));
  const parsed = z.object(variables).safeParse(set);
  if (!parsed.success) throw new Error(`Baton's configuration is wrong:\n${parsed.error.issues.map((i) => `  ${i.path.join(".")}: ${i.message}`).join("\n")}`);
  const v = parsed.data;
  return {
    home: v.BATON_HOME ?? join(homedir(), ".baton"),
    instance: v.BATON_INSTANCE,
    port: v.BATON_PORT,
    listen: v.BATON_LISTEN,
    hostId:
      v.BATON_HOST_ID ??
      hostname()
        .toLowerCase()
        .replace(/[^a-z0-9-]+/g, "-")
        .replace(/^-+/, "")
        .slice(0, 63),
    databaseUrl: v.DATABASE_URL,
    temporalAddress: v.TEMPORAL_ADDRESS,
    temporalNamespace: v.TEMPORAL_NAMESPACE,
    hostBeatMs: v.BATON_HOST_BEAT_MS,
    hostBeatTimeoutMs: v.BATON_HOST_BEAT_TIMEOUT_MS,
    turnAttempts: v.BATON_TURN_ATTEMPTS,
    stopGraceMs: v.BATON_STOP_GRACE_MS,
    keepAliveMs: v.BATON_KEEP_ALIVE_MS,
    orphanMs: v.BATON_ORPHAN_MS,
    stallMs: v.BATON_STALL_MS,
    turnSlots: v.BATON_TURN_SLOTS,
    hostLeaseMs: v.BATON_HOST_LEASE_MS,
    hostLeaseRenewMs: v.BATON_HOST_LEASE_RENEW_MS,
    inputQueue: v.BATON_INPUT_QUEUE,
    maxEventBytes: v.BATON_MAX_EVENT_BYTES,
    maxSpoolBytes: v.BATON_MAX_SPOOL_BYTES,
    tokenGraceMs: v.BATON_TOKEN_GRACE_MS,
    reconcileMs: v.BATON_RECONCILE_MS,
    socketIdleMs: v.BATON_SOCKET_IDLE_MS,
    readOnly: v.BATON_READ_ONLY === "1" || v.BATON_READ_ONLY === "true",
    token: v.BATON_TOKEN,
    gatewayUrl: v.BATON_GATEWAY_URL,
    agentDepth: v.BATON_AGENT_DEPTH,
    agentChildren: v.BATON_AGENT_CHILDREN,
    agentLaunches: v.BATON_AGENT_LAUNCHES,
    progressMs: v.BATON_PROGRESS_MS,
    waits: v.BATON_WAITS,
    stickyMs: 1_000,
    maxMessageBytes: 262_144,
  };
}
