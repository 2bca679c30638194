import { ulid } from "ulid";
import { newSession } from "../store/rows.ts";
import { onRows } from "./session-rows.ts";

const on = onRows();

type View = { approvalId: string; title: string; detail: Record<string, unknown>; options: unknown[]; truncated?: boolean; resource?: string };
const bytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
let n = 0;
/** A session whose agent asks these permissions. */
async function asking(...details: Record<string, unknown>[]): Promise<string> {
  const { sessionUlid } = await newSession(on.store, { branchName: `baton/asking-${(n += 1)}` });
  const options = [{ id: "allow", label: "Allow" }];
  await on.store.events.append(
    sessionUlid,
    details.map(({ title = "May I?", ...detail }) => {
      const approvalId = ulid();
      return {
        key: approvalId,
        event: {
          type: "approval.requested" as const,
          data: { approvalId, kind: "permission" as const, title: String(title), options, requestKey: "k", detail: { tool: "t", why: "mode ask", ...detail } },
        },
      };
    }),
  );
  return sessionUlid;
}
const approvals = async (sessionUlid: string): Promise<View[]> => (await on.baton.sessions.approvals({ sessionUlid })).data["approvals"] as View[];
const waits = async (sessionUlid: string): Promise<View[]> => (await on.baton.sessions.get({ sessionUlid }))["waits"] as View[];

describe("a permission says what is asked for", () => {
  test.each([
    ["as a text", "npm test", "npm test"],
    ["as words", ["npm", "test"], "npm test"],
  ])("a command, %s", async (_how, command, said) => {
    const session = await asking({ kind: "execute", input: { command, cwd: "/w" }, locations: [], content: [], grantKey: "secret" });
    const [view] = await approvals(session);
    expect(view?.detail).toEqual({ tool: "t", why: "mode ask", kind: "execute", command: said, input: { command, cwd: "/w" }, locations: [], content: [] });
    expect((await waits(session))[0]).toEqual(view);
  });

  test("an edit: its files, and how much of them", async () => {
    const change = (path: string, oldText: string | null, newText: string) => ({ type: "diff", path, oldText, newText });
    const content = [change("/w/a", "one\ntwo\nthree\n", "one\n2\nthree\nfour\n"), change("/w/b", null, "new\n"), { type: "content", content: {} }];
    const [view] = await approvals(await asking({ kind: "edit", input: { file_path: "/w/a" }, locations: [{ path: "/w/a" }, { path: "/w/c" }], content }));
    expect(view?.detail).toMatchObject({
      paths: ["/w/a", "/w/c", "/w/b"],
      diffStat: [
        { path: "/w/a", added: 2, deleted: 1 },
        { path: "/w/b", added: 1, deleted: 0 },
      ],
      content,
    });
    expect(view?.detail).not.toHaveProperty("command");
  });
});

const nested = (levels: number): Record<string, unknown> =>
  levels === 0 ? { end: true } : { one: nested(levels - 1), two: nested(levels - 1), three: [nested(levels - 1)] };

describe("eight large permissions", () => {
  const large: [string, Record<string, unknown>][] = [
    [
      "texts",
      { input: { command: "make all", text: '\n"'.repeat(16_000) }, content: [{ type: "diff", path: "/w/a", oldText: "", newText: "é\n".repeat(15_000) }] },
    ],
    [
      "lists",
      { input: { list: Array.from({ length: 8_000 }, (_, at) => `item ${at}`) }, locations: Array.from({ length: 2_000 }, (_, at) => ({ path: `/w/${at}` })) },
    ],
    ["names", { input: Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`${"name".repeat(30)}${at}`, at])) }],
    ["levels", { input: nested(8) }],
    ["titles", { title: "\u0001".repeat(2_000), tool: "\u0001".repeat(2_000), why: "\u0001".repeat(2_000), input: { command: "\u0001".repeat(9_000) } }],
  ];
  test.each(large)("of long %s are all shown, cut and marked, and the event has the whole", async (_what, detail) => {
    const session = await asking(...Array.from({ length: 8 }, () => detail));
    const listed = await approvals(session);
    expect(listed).toHaveLength(8);
    expect(bytes(listed)).toBeLessThanOrEqual(32_768);
    const shown = await on.baton.sessions.get({ sessionUlid: session });
    expect(Math.max(...(shown["waits"] as View[]).map(bytes))).toBeLessThanOrEqual(4_000);
    expect(bytes(shown)).toBeLessThanOrEqual(49_152);
    for (const view of [...listed, ...(shown["waits"] as View[])])
      expect(view).toMatchObject({ approvalId: expect.any(String), options: [{ id: "allow" }], truncated: true, resource: `session://${session}/events` });
    const { events } = (await on.baton.sessions.events({
      sessionUlid: session,
      types: ["approval.requested"],
      limit: 1,
      maxBytes: 200_000,
      textMaxLength: 1_000_000,
    })) as {
      events: { data: { detail: Record<string, unknown> } }[];
    };
    expect(events[0]?.data.detail["input"]).toEqual(detail["input"]);
  });

  test("what it is about is cut last", async () => {
    const [view] = await waits(await asking(...Array.from({ length: 8 }, () => ({ kind: "edit", locations: [{ path: "/w/a" }], ...large[0]![1] }))));
    expect(view?.detail).toMatchObject({ command: "make all", paths: ["/w/a"], diffStat: [{ path: "/w/a", added: 15_000, deleted: 0 }] });
  });

  test("one alone is shown with more of it", async () => {
    const session = await asking(large[0]![1]);
    const [alone] = await approvals(session);
    expect(bytes(alone)).toBeGreaterThan(bytes((await waits(session))[0]));
    expect(bytes(alone)).toBeLessThanOrEqual(16_384);
  });
});

test("approvals: questions, deadlines, pages", async () => {
  const sessionUlid = await on.session();
  const { turnId } = await on.turn(sessionUlid);
  const ids = Array.from({ length: 5 }, () => ulid());
  for (const [at, approvalId] of ids.entries())
    await on.store.events.append(sessionUlid, [
      {
        key: approvalId,
        event: {
          type: "approval.requested",
          turnId,
          data:
            at === 4
              ? {
                  approvalId,
                  kind: "question",
                  title: "Which?",
                  options: [{ id: "a", label: "A" }],
                  requestKey: "k",
                  detail: { deadline: "2030-01-01T00:00:00.000Z", onDeadline: "deny" },
                }
              : { approvalId, kind: "permission", title: `May I ${at}?`, options: [], requestKey: "k", detail: { why: "mode ask" } },
        },
      },
    ]);
  const pages: string[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < 5; page += 1) {
    const found = await on.baton.sessions.approvals({ sessionUlid, limit: 2, ...(cursor === undefined ? {} : { cursor }) });
    pages.push(...(found.data["approvals"] as { approvalId: string }[]).map((one) => one.approvalId));
    if (!found.page) break;
    cursor = found.page.nextCursor;
  }
  expect(pages).toEqual(ids.toReversed());
  const [question, permission] = (await on.baton.sessions.approvals({ sessionUlid, limit: 2 })).data["approvals"] as Record<string, unknown>[];
  expect(question).toMatchObject({
    deadline: "2030-01-01T00:00:00.000Z",
    onDeadline: "deny",
    questions: [{ text: "Which?", options: [{ id: "a", label: "A" }], freeText: true, multi: false }],
  });
  expect(permission).toMatchObject({ questions: [], onDeadline: "wait", why: "mode ask" });
  expect(permission).not.toHaveProperty("deadline");
  // A text answers the question that it names, once, and never a permission.
  const caller = { principal: "local" };
  const answer = (more: Record<string, unknown>) => on.baton.sessions.input(caller, { sessionUlid, prompt: "A", ...more });
  await expect(answer({ approvalId: ids[0] })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    detail: { next: ["allow", "deny"].map((decision) => ({ args: { action: "respond", approvalId: ids[0], decision } })) },
  });
  await expect(answer({ approvalId: "no-such" })).rejects.toMatchObject({ code: "NOT_FOUND" });
  expect((await answer({ approvalId: ids[4], clientRequestId: "answer" })).data).toMatchObject({ delivery: "answer", approvalId: ids[4] });
  expect((await answer({ approvalId: ids[4], clientRequestId: "answer" })).data).toMatchObject({ replayed: true, approvalId: ids[4] });
  await expect(answer({ approvalId: ids[4] })).rejects.toMatchObject({ code: "CONFLICT_STATE" });
  const { attention } = (await on.baton.sessions.get({ sessionUlid })) as { attention: { seq: number }[] };
  expect(attention.map((one) => one.seq)).toEqual(attention.map((one) => one.seq).toSorted((a, b) => a - b));
});
