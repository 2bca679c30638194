import type { Benchmark } from "./benchmark.ts";
import { abortLatency } from "./cases/abort.ts";
import { append } from "./cases/append.ts";
import { deltas } from "./cases/deltas.ts";
import { history } from "./cases/history.ts";
import { idle } from "./cases/idle.ts";
import { inputLatency } from "./cases/input.ts";
import { launch } from "./cases/launch.ts";
import { longReads } from "./cases/long-reads.ts";
import { reads } from "./cases/reads.ts";
import { recovery } from "./cases/recovery.ts";
import { soak } from "./cases/soak.ts";
import { start } from "./cases/start.ts";

/** All of them, in the order of the table. */
export const benchmarks: Benchmark[] = [
  launch,
  inputLatency,
  abortLatency,
  deltas("deltas-1", 1, 50),
  deltas("deltas", 50, 50),
  deltas("live-100", 100, 20),
  append(1),
  append(10),
  append(100),
  reads,
  longReads,
  recovery,
  history,
  idle,
  start,
  soak,
];
