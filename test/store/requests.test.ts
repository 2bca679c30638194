import { freshStore, newSession } from "./rows.ts";

let fresh: Awaited<ReturnType<typeof freshStore>>;
beforeAll(async () => {
  fresh = await freshStore();
});
afterAll(() => fresh.end());
const audit = { principal: "p", actor: "a", action: "x", target: null };

test("fifty at once with one key have one effect and one answer", async () => {
  let effects = 0;
  const key = { principal: "p", scope: "create", key: "k1", fingerprint: "f" };
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      fresh.store.recordRequest(key, audit, async () => {
        effects += 1;
        return { n: i };
      }),
    ),
  );
  expect(effects).toBe(1);
  expect(new Set(results.map((r) => r.ids.n)).size).toBe(1);
  expect(results.filter((r) => !r.replayed)).toHaveLength(1);
});

test("another fingerprint is refused, and a refusal does not take the key", async () => {
  const key = { principal: "p", scope: "create", key: "k2", fingerprint: "f" };
  await expect(
    fresh.store.recordRequest(key, audit, async () => {
      throw new Error("no");
    }),
  ).rejects.toThrow("no");
  expect((await fresh.store.recordRequest(key, audit, async () => ({ a: 1 }))).replayed).toBe(false);
  await expect(fresh.store.recordRequest({ ...key, fingerprint: "g" }, audit, async () => ({}))).rejects.toMatchObject({ code: "IDEMPOTENCY_MISMATCH" });
});

test("branches that collide get numbers", async () => {
  const rows = await Promise.all([1, 2, 3].map(() => newSession(fresh.store)));
  expect(rows.map((r) => r.branchName).toSorted((a, b) => String(a).localeCompare(String(b)))).toEqual(["baton/T-1", "baton/T-1-1", "baton/T-1-2"]);
});
