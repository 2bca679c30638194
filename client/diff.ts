import { BatonError } from "../contracts/failures.ts";
import type { Candidate } from "../contracts/event.ts";
import type { SessionRow } from "../store/rows.ts";
import type { Store } from "../store/store.ts";
import { defaultBytes, fitting, mostBytes, sizeOf } from "./bounded.ts";
import type { Deps } from "./deps.ts";
import { diffOfCommits } from "./git-diff.ts";
import { findSession } from "./requests.ts";

export interface DiffArgs {
  sessionUlid: string;
  /** default: the newest turn with a candidate */
  turnId?: string;
  /** where the session began (default), or the candidate before */
  against?: "base" | "previous";
  path?: string;
  /** only the files */
  stat?: boolean;
  maxBytes?: number;
}

/** What a turn's candidate changed: files with their lines, and the unified diff as far as it fits. Errors: NOT_FOUND, CONFLICT_STATE without a candidate. */
export async function diff(deps: Deps, args: DiffArgs): Promise<Record<string, unknown>> {
  const store = await deps.getStore();
  const row = await findSession(store, args.sessionUlid);
  const { turnId, candidate, previous } = await candidates(store, row, args.turnId);
  const against = args.against ?? "base";
  const from = against === "previous" ? (previous?.commit ?? candidate.base) : candidate.base;
  const budget = Math.min(args.maxBytes ?? defaultBytes, mostBytes);
  const stat = args.stat === true;
  const found = await diffOfCommits({
    repositoryPath: row.repositoryPath,
    from,
    to: candidate.commit,
    path: args.path,
    searchPath: deps.options.searchPath,
    stat,
    maxBytes: Math.floor(budget * 0.7),
  });
  const files = fitting(found.files, stat ? budget - 2_000 : Math.floor(budget * 0.25));
  const sum = (of: "added" | "deleted") => found.files.reduce((total, file) => total + file[of], 0);
  const text = shortened(found.diff, Math.floor(budget * 0.7));
  const truncated = found.truncated || files.truncated;
  return {
    sessionUlid: row.sessionUlid,
    turnId,
    against: against === "previous" && previous === null ? "base" : against,
    from,
    to: candidate.commit,
    tree: candidate.tree,
    ref: candidate.ref,
    totals: { files: found.files.length, added: sum("added"), deleted: sum("deleted") },
    files: files.kept,
    ...(stat ? {} : { diff: text }),
    truncated: truncated || text.length < found.diff.length,
  };
}

/** As much of a text as has so many bytes as JSON: line ends and tabs take two each, other control characters six. */
function shortened(text: string, bytes: number): string {
  let kept = text;
  for (let size = sizeOf(kept); size > bytes; size = sizeOf(kept)) kept = kept.slice(0, Math.floor((kept.length * bytes * 0.98) / size)).toWellFormed();
  return kept;
}

async function candidates(
  store: Store,
  row: SessionRow,
  turnId: string | undefined,
): Promise<{ turnId: string; candidate: Candidate; previous: Candidate | null }> {
  const found = await store.turns.candidates(row.sessionUlid, turnId);
  const [newest, before] = found;
  if (turnId !== undefined && newest?.turnId !== turnId) {
    const turn = await store.turns.get(row.sessionUlid, turnId);
    if (!turn) throw new BatonError("NOT_FOUND", `Session ${row.name} has no turn "${turnId}".`, { field: "turnId" });
    throw new BatonError("CONFLICT_STATE", `Turn ${turnId} has no candidate${turn.state === "done" ? "" : " yet: it has not ended"}.`, {
      field: "turnId",
      currentState: turn.state,
    });
  }
  if (!newest)
    throw new BatonError("CONFLICT_STATE", "The session has no candidate yet: one is made at the end of each executor's turn.", {
      next: [{ tool: "pm_session", args: { action: "wait", sessionUlids: [row.sessionUlid], until: "turn" }, why: "until a turn has ended" }],
    });
  return { turnId: newest.turnId, candidate: newest.candidate, previous: before?.candidate ?? null };
}
