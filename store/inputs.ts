import type { Candidate, Delivery } from "../contracts/event.ts";
import { BatonError } from "../contracts/failures.ts";
import type { TurnEnd } from "../contracts/messages.ts";
import { abandonTurns } from "./abandon-turns.ts";
import { type Database, txRow, txRows } from "./database.ts";
import { appendEvents, lockHead } from "./events.ts";
import { endedTurns, failInputs } from "./fail-inputs.ts";
import { storableText } from "./storable.ts";
import type { InputRow, TurnConfiguration } from "./rows.ts";
import type { Tx } from "./store.ts";

/** Messages to sessions. */
export interface InputStore {
  /** Counts the queue (recorded+accepted): beyond `limit` BatonError QUEUE_FULL. Appends `input.recorded`. A known requestId returns its row. */
  insert(
    tx: Tx,
    a: {
      inputId: string;
      sessionUlid: string;
      prompt: string;
      delivery: Delivery;
      source: string;
      requestId: string | null;
      checkout?: Candidate | null;
      configuration?: TurnConfiguration | null;
      limit: number;
      /** most that wait of one source */
      share?: number;
    },
  ): Promise<{ row: InputRow; position: number }>;
  get(inputId: string): Promise<InputRow | null>;
  /** by id, behind `after` ("": from the first) */
  after(sessionUlid: string, after: string, limit: number): Promise<InputRow[]>;
  /** recorded, accepted, delivering */
  pending(sessionUlid: string): Promise<InputRow[]>;
  /** still `recorded` after minAge ms in a started, open session whose generation was not told of it: to be signalled again */
  unsignalled(minAgeMs: number): Promise<InputRow[]>;
  /** notes that Temporal took the generation's Signal */
  signalled(inputId: string, generation: number): Promise<void>;
  /** fails those that no agent has yet; a turn that one of them opened and that has no result is given up. How their turns ended */
  fail(sessionUlid: string, inputIds: string[], reason: string): Promise<TurnEnd[]>;
}

export const inputColumns =
  "input_id, session_ulid, generation, prompt, delivery, source, request_id, state, reason, turn_id, checkout, configuration, created_at, signalled_to";

/** Messages to sessions. */
export function inputStore(db: Database): InputStore {
  return {
    async insert(tx, a) {
      if (!(await lockHead(tx, a.sessionUlid))) throw new BatonError("NOT_FOUND", `There is no session ${a.sessionUlid}.`);
      const waiting = await txRows<{ inputId: string; source: string }>(
        tx,
        "select input_id, source from input where session_ulid = $1 and state in ('recorded', 'accepted') order by input_id",
        [a.sessionUlid],
      );
      const known = await txRow<InputRow>(tx, `select ${inputColumns} from input where input_id = $1 or (session_ulid = $2 and request_id = $3)`, [
        a.inputId,
        a.sessionUlid,
        a.requestId,
      ]);
      if (known)
        return {
          row: known,
          position: Math.max(
            0,
            waiting.findIndex((w) => w.inputId === known.inputId),
          ),
        };
      if (waiting.length >= a.limit)
        throw new BatonError("QUEUE_FULL", `${waiting.length} inputs wait for this session already. Send the next one when a turn has ended.`, {
          allowed: a.limit,
        });
      if (a.share !== undefined && waiting.filter((w) => w.source === a.source).length >= a.share)
        throw new BatonError("QUEUE_FULL", `${a.share} inputs of yours wait for this session already. Send the next one when a turn has ended.`, {
          allowed: a.share,
        });
      const row = await txRow<InputRow>(
        tx,
        `insert into input (input_id, session_ulid, generation, prompt, delivery, source, request_id, checkout, configuration)
        select $1, session_ulid, generation, $3, $4, $5, $6, $7, $8 from session where session_ulid = $2 returning ${inputColumns}`,
        [
          a.inputId,
          a.sessionUlid,
          storableText(a.prompt),
          a.delivery,
          a.source,
          a.requestId,
          a.checkout ? JSON.stringify(a.checkout) : null,
          a.configuration ? JSON.stringify(a.configuration) : null,
        ],
      );
      await appendEvents(db, tx, a.sessionUlid, [
        {
          key: `input.recorded:${a.inputId}`,
          event: {
            type: "input.recorded",
            data: {
              inputId: a.inputId,
              delivery: a.delivery,
              source: a.source,
              bytes: Buffer.byteLength(a.prompt),
              ...(a.configuration ? { configuration: { ...a.configuration } } : {}),
            },
          },
        },
      ]);
      return { row: row!, position: waiting.length };
    },
    get: (inputId) => db.row<InputRow>(`select ${inputColumns} from input where input_id = $1`, [inputId]),
    after: (sessionUlid, after, limit) =>
      db.rows<InputRow>(`select ${inputColumns} from input where session_ulid = $1 and input_id > $2 order by input_id limit $3`, [sessionUlid, after, limit]),
    pending: (sessionUlid) =>
      db.rows<InputRow>(`select ${inputColumns} from input where session_ulid = $1 and state in ('recorded', 'accepted', 'delivering') order by input_id`, [
        sessionUlid,
      ]),
    unsignalled: (minAgeMs) =>
      db.rows<InputRow>(
        `select ${inputColumns.replaceAll(/\w+/g, "i.$&")} from input i join session s using (session_ulid)
      where i.state = 'recorded' and i.created_at < clock_timestamp() - $1 * interval '1 ms' and s.started_at is not null and s.closed_at is null
        and i.signalled_to is distinct from s.generation order by i.input_id limit 500`,
        [minAgeMs],
      ),
    async signalled(inputId, generation) {
      await db.rows("update input set signalled_to = $2 where input_id = $1 and state = 'recorded'", [inputId, generation]);
    },
    fail: (sessionUlid, inputIds, reason) =>
      db.transaction(async (tx) => {
        await failInputs(db, tx, sessionUlid, inputIds, reason);
        // Whoever fails an input gives up on its turn: attempts that were lost may have left one open.
        await abandonTurns(db, tx, { sessionUlid, turnIds: inputIds, reason });
        return endedTurns(tx, sessionUlid, inputIds);
      }),
  };
}
