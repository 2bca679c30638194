import { misplaced, mutations } from "./switch-off.ts";

test("every protection that can be switched off is still where its entry says", async () => {
  const all = await mutations();
  expect(all.length).toBeGreaterThan(60);
  expect(misplaced(all)).toEqual([]);
  expect(misplaced([{ ...all[0]!, find: "no file has this" }])).toHaveLength(1);
});
